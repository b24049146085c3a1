"""The files that package managers read: the manifests of Homebrew, winget and scoop, `cargo binstall`'s settings, the list of crates.

winget's and scoop's own schemas are in no package, so their manifests are compared with what those schemas require, written down here.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess

import tree_sitter
import tree_sitter_ruby
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from support import LIMIT, ROOT, Fresh, package

URL = "https://downloads.example/v1"
HOMEPAGE = "https://project.example"

# What winget's schemas 1.10.0 require of each file, and the form of some values.
WINGET = {
    "": {"PackageIdentifier", "PackageVersion", "DefaultLocale", "ManifestType", "ManifestVersion"},
    ".locale.en-US": {"PackageIdentifier", "PackageVersion", "PackageLocale", "Publisher", "PackageName", "License",
                      "ShortDescription", "ManifestType", "ManifestVersion"},
    ".installer": {"PackageIdentifier", "PackageVersion", "Installers", "ManifestType", "ManifestVersion"},
}
TYPES = {"": "version", ".locale.en-US": "defaultLocale", ".installer": "installer"}


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
        self.assertEqual(len(installed), 4)
        self.assertLessEqual(set(installed), inside)

    def test_wingets_manifests_have_what_its_schemas_require(self):
        for part, required in WINGET.items():
            manifest = yaml.safe_load((self.manifests / "winget" / f"Cupola.Cupola{part}.yaml").read_text())
            self.assertLessEqual(required, set(manifest), part)
            self.assertEqual((manifest["ManifestType"], manifest["ManifestVersion"]), (TYPES[part], "1.10.0"))
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
        self.assertLessEqual({"version", "homepage", "license"}, set(manifest))
        build = manifest["architecture"]["64bit"]
        self.assertEqual(build["url"], f"{URL}/{self.windows.name}")
        self.assertEqual(build["hash"], hashlib.sha256(b"windows").hexdigest())
        self.assertEqual((manifest["extract_dir"], manifest["bin"]), (self.windows.stem, "cupola.exe"))

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
