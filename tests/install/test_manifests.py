"""The files that package managers read: the manifests of Homebrew, winget and scoop, `cargo binstall`'s settings, the list of crates.

winget's and scoop's own schemas are in no package, so the rules of theirs that concern these manifests are written down here, as schemas
that take no other member.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess

import jsonschema
import tree_sitter
import tree_sitter_ruby
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from support import LIMIT, ROOT, Fresh, package

URL = "https://downloads.example/v1"
HOMEPAGE = "https://project.example"

def only(required, more=None):
    """An object with these members, of which `more` may be absent, and with no other."""
    return {"type": "object", "properties": {**required, **(more or {})}, "required": list(required), "additionalProperties": False}


def text(shortest, longest):
    return {"type": "string", "minLength": shortest, "maxLength": longest}


def form(pattern):
    return {"type": "string", "pattern": pattern, "maxLength": 2048}


# winget's schemas 1.10.0.
NAME_PART = r"""[^\.\s\\/:\*\?"<>\|\x01-\x1f]{1,32}"""
WINGET_COMMON = {
    "PackageIdentifier": form(rf"^{NAME_PART}(\.{NAME_PART}){{1,7}}$"),
    "PackageVersion": form(r"""^[^\\/:\*\?"<>\|\x01-\x1f]{1,128}$"""),
    "ManifestVersion": {"const": "1.10.0"},
}
LOCALE = form(r"^[a-zA-Z]{2,3}(-[a-zA-Z]{4})?(-[a-zA-Z]{2})?$")
WINGET_URL = form(r"^([Hh][Tt][Tt][Pp][Ss]?)://.+$")
NESTED = only({"RelativeFilePath": text(1, 512)}, {"PortableCommandAlias": text(1, 40)})
INSTALLER = only({
    "Architecture": {"enum": ["x86", "x64", "arm", "arm64", "neutral"]},
    "InstallerUrl": WINGET_URL,
    "InstallerSha256": form(r"^[A-Fa-f0-9]{64}$"),
})
WINGET = {
    "": only({**WINGET_COMMON, "DefaultLocale": LOCALE, "ManifestType": {"const": "version"}}),
    ".locale.en-US": only({
        **WINGET_COMMON, "PackageLocale": LOCALE, "Publisher": text(2, 256), "PackageName": text(2, 256),
        "License": text(3, 512), "ShortDescription": text(3, 256), "ManifestType": {"const": "defaultLocale"},
    }, {"PackageUrl": WINGET_URL}),
    ".installer": only({
        **WINGET_COMMON, "Installers": {"type": "array", "items": INSTALLER, "minItems": 1, "maxItems": 1024},
        "ManifestType": {"const": "installer"},
    }, {
        "InstallerType": {"enum": ["msix", "msi", "appx", "exe", "zip", "inno", "nullsoft", "wix", "burn", "pwa", "portable"]},
        "NestedInstallerType": {"enum": ["msix", "msi", "appx", "exe", "inno", "nullsoft", "wix", "burn", "portable"]},
        "NestedInstallerFiles": {"type": "array", "items": NESTED, "maxItems": 1024, "uniqueItems": True},
    }),
}

# Scoop's schema of an app.
SCOOP_URL = {"type": "string", "format": "uri", "pattern": "^https://"}
SCOOP_BUILD = only({"url": SCOOP_URL, "hash": form(r"^([a-fA-F0-9]{64}|(sha1|sha256|sha512|md5):[a-fA-F0-9]{32,128})$")})
SCOOP = only({
    "version": form(r"^[\w\.\-+_]+$"), "homepage": SCOOP_URL, "license": text(1, 200),
}, {
    "description": text(1, 1000), "architecture": only({}, {"32bit": SCOOP_BUILD, "64bit": SCOOP_BUILD, "arm64": SCOOP_BUILD}),
    "extract_dir": text(1, 200), "bin": text(1, 200),
})


def check(manifest, schema):
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(manifest)


class Manifests(Fresh):
    def setUp(self):
        super().setUp()
        self.tarball = package("cupola-*-x86_64-unknown-linux-gnu.tar.gz")
        self.version = self.tarball.name.split("-")[1]
        self.archives = self.home / "archives"
        self.archives.mkdir()
        shutil.copy(self.tarball, self.archives)
        # Only their digests and names are looked at.
        self.mac = self.archive("aarch64-apple-darwin.tar.gz", b"mac")
        self.windows = self.archive("x86_64-pc-windows-gnu.zip", b"windows")
        self.run_program(os.environ["CUPOLA_XTASK"], "dist", "manifests", "--url", URL, "--homepage", HOMEPAGE,
                         "--out", self.archives)
        self.manifests = self.archives / "manifests"

    def archive(self, ending, content):
        path = self.archives / f"cupola-{self.version}-{ending}"
        path.write_bytes(content)
        return path

    def test_the_formula_is_ruby_and_names_each_archive_with_its_digest(self):
        text = (self.manifests / "homebrew" / "cupola.rb").read_text()
        parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_ruby.language()))
        self.assertFalse(parser.parse(text.encode()).root_node.has_error, text)
        for archive, system, cpu in [(self.archives / self.tarball.name, "linux", "intel"), (self.mac, "macos", "arm")]:
            sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
            block = (f'  on_{system} do\n    on_{cpu} do\n      url "{URL}/{archive.name}"\n      sha256 "{sha256}"\n'
                     "    end\n  end\n")
            self.assertIn(block, text)
        self.assertIn(f'version "{self.version}"', text)

    def test_the_formula_installs_what_is_in_the_archive(self):
        names = self.run_program("tar", "-tzf", self.tarball).stdout.splitlines()
        inside = {name.partition("/")[2] for name in names}
        text = (self.manifests / "homebrew" / "cupola.rb").read_text()
        installed = re.findall(r'(?:bin|completion)\.install "([^"]+)"', text)
        self.assertEqual(len(installed), 5)
        self.assertLessEqual(set(installed), inside)

    def test_wingets_manifests_have_what_its_schemas_require(self):
        for part, schema in WINGET.items():
            manifest = yaml.safe_load((self.manifests / "winget" / f"Cupola.Cupola{part}.yaml").read_text())
            check(manifest, schema)
            self.assertEqual((manifest["PackageIdentifier"], manifest["PackageVersion"]), ("Cupola.Cupola", self.version))
        (installer,) = manifest["Installers"]
        self.assertEqual(installer, {
            "Architecture": "x64",
            "InstallerUrl": f"{URL}/{self.windows.name}",
            "InstallerSha256": hashlib.sha256(b"windows").hexdigest().upper(),
        })
        self.assertEqual((manifest["InstallerType"], manifest["NestedInstallerType"]), ("zip", "portable"))
        (nested,) = manifest["NestedInstallerFiles"]
        self.assertEqual(nested["RelativeFilePath"], f"{self.windows.stem}\\cupola.exe")

    def test_scoops_manifest_has_what_its_schema_requires(self):
        manifest = json.loads((self.manifests / "scoop" / "cupola.json").read_text())
        check(manifest, SCOOP)
        build = manifest["architecture"]["64bit"]
        self.assertEqual(build["url"], f"{URL}/{self.windows.name}")
        self.assertEqual(build["hash"], hashlib.sha256(b"windows").hexdigest())
        self.assertEqual((manifest["extract_dir"], manifest["bin"]), (self.windows.stem, "cupola.exe"))

    def test_a_manifest_that_breaks_a_rule_is_found(self):
        winget = self.manifests / "winget"
        installer = yaml.safe_load((winget / "Cupola.Cupola.installer.yaml").read_text())
        scoop = json.loads((self.manifests / "scoop" / "cupola.json").read_text())
        (build,) = installer["Installers"]
        for schema, broken in [
            (WINGET[".installer"], {**installer, "PackageIdentifier": "Cupola"}),
            (WINGET[".installer"], {**installer, "PackageVersion": 1.0}),
            (WINGET[".installer"], {**installer, "InstallerTyp": "zip"}),
            (WINGET[".installer"], {**installer, "Installers": [{**build, "InstallerSha256": "@SHA256@"}]}),
            (WINGET[".installer"], {**installer, "Installers": [{**build, "Architecture": "x86_64"}]}),
            (SCOOP, {**scoop, "homepage": "project.example"}),
            (SCOOP, {**scoop, "checkver": "github"}),
            (SCOOP, {name: value for name, value in scoop.items() if name != "license"}),
        ]:
            with self.subTest(broken=broken), self.assertRaises(jsonschema.ValidationError):
                check(broken, schema)

    def test_without_an_address_or_with_one_that_is_not_safe_nothing_is_written(self):
        for options, says in [([], "--url"), (["--url", "http://a.example", "--homepage", HOMEPAGE], "https://")]:
            done = self.run_program(os.environ["CUPOLA_XTASK"], "dist", "manifests", "--out", self.archives, *options,
                                    check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn(says, done.stdout)

    def test_cargo_binstall_is_pointed_to_the_archive(self):
        said = subprocess.run(["cargo", "metadata", "--no-deps", "--format-version", "1", "--offline"], cwd=ROOT, check=True,
                              capture_output=True, text=True, timeout=LIMIT).stdout
        (settings,) = [package["metadata"]["binstall"] for package in json.loads(said)["packages"] if package["name"] == "cupola"]
        target = "x86_64-unknown-linux-gnu"
        def filled(text):
            values = {"repo": "https://project.example", "version": self.version, "target": target,
                      "archive-suffix": ".tar.gz", "bin": "cupola", "binary-ext": ""}
            return re.sub(r"\{ ([a-z-]+) \}", lambda name: values[name[1]], text)
        self.assertEqual(settings["pkg-fmt"], "tgz")
        self.assertTrue(filled(settings["pkg-url"]).endswith(f"/v{self.version}/{self.tarball.name}"))
        names = self.run_program("tar", "-tzf", self.tarball).stdout.splitlines()
        self.assertIn(filled(settings["bin-dir"]), names)
        windows = {**settings, **settings["overrides"]["x86_64-pc-windows-gnu"]}
        self.assertEqual(windows["pkg-fmt"], "zip")


class Crates(Fresh):
    def test_the_list_of_crates_is_cyclonedx_and_names_what_is_compiled_in(self):
        text = package("cupola-*.cdx.json").read_text()
        self.assertIsNone(JsonStrictValidator(SchemaVersion.V1_6).validate_str(text))
        names = {component["name"] for component in json.loads(text)["components"]}
        self.assertLessEqual({"tokio", "rustls", "libsqlite3-sys", "cupola-cli"}, names)
        self.assertEqual(names & {"bolero", "jsonschema", "xtask"}, set(), "the program does not contain these")
