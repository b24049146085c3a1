"""Names the platform that the wheel's program runs on; hatchling cannot know it."""

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PlatformTag(BuildHookInterface):
    """Any Python 3, no ABI, one platform."""

    def initialize(self, version, build_data):
        build_data["pure_python"] = False
        build_data["tag"] = "py3-none-@PLATFORM@"
