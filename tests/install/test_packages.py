"""Each package, installed into an empty directory."""

import os
import pathlib
import signal
import subprocess
import tarfile
import zipfile

from support import ANSWER, LIMIT, PACKAGES, QUESTION, ROOT, Fresh, package, python

SCRIPT = f"""
import cupola
with cupola.connect(target=cupola.emulator()) as client:
    print(client.invoke("{QUESTION}").text())
"""


class Archive(Fresh):
    def setUp(self):
        super().setUp()
        with tarfile.open(package("cupola-*.tar.gz")) as archive:
            archive.extractall(self.home, filter="data")
        (self.directory,) = self.home.glob("cupola-*")

    def test_it_answers_where_it_is_unpacked(self):
        self.answers(self.directory / "cupola")

    def test_completions_are_what_each_shell_reads(self):
        script = self.directory / "completions" / "cupola.bash"
        shell = f"source {script} && COMP_WORDS=(cupola inv) COMP_CWORD=1 && _cupola cupola inv cupola && echo ${{COMPREPLY[@]}}"
        self.assertIn("invo", self.run_program("bash", "-c", shell).stdout)
        self.assertTrue((self.directory / "completions" / "_cupola").read_text().startswith("#compdef cupola\n"))
        self.assertIn("complete -c cupola", (self.directory / "completions" / "cupola.fish").read_text())

    def test_each_command_has_its_manual_page(self):
        names = {path.name for path in (self.directory / "man" / "man1").iterdir()}
        self.assertLessEqual({"cupola.1", "cupola-invoke.1", "cupola-sessions-list.1"}, names)

    def test_the_licence_is_in_it(self):
        self.assertEqual((self.directory / "LICENSE").read_text(), (ROOT / "LICENSE").read_text())


class Debian(Fresh):
    def test_lintian_finds_nothing(self):
        done = self.run_program("lintian", "--allow-root", "--fail-on=error,warning", package("*.deb"), check=False)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)

    def test_it_answers_where_it_is_installed(self):
        root = self.install()
        self.answers(root / "usr" / "bin" / "cupola")
        shell = f"source {root}/usr/share/bash-completion/completions/cupola && complete -p cupola"
        self.assertIn("cupola", self.run_program("bash", "-c", shell).stdout)
        page = root / "usr" / "share" / "man" / "man1" / "cupola-invoke.1.gz"
        self.assertIn("cupola-invoke", self.run_program("gzip", "-dc", page).stdout)

    def install(self):
        """Installs it into an empty tree. Only root can have dpkg do that; others unpack it."""
        root = self.home / "root"
        if os.geteuid() != 0:
            self.run_program("dpkg-deb", "-x", package("*.deb"), root)
            return root
        (root / "var" / "lib" / "dpkg" / "info").mkdir(parents=True)
        (root / "var" / "lib" / "dpkg" / "status").touch()
        # glibc is not installed in the tree; this system's is used.
        dpkg = ["dpkg", f"--root={root}", "--force-depends", "--log=/dev/null"]
        self.run_program(*dpkg, "--install", package("*.deb"))
        self.addCleanup(self.is_removed, root)
        self.addCleanup(self.run_program, *dpkg, "--remove", "cupola")
        return root

    def is_removed(self, root):
        self.assertEqual(list(root.glob("usr/**/*cupola*")), [])


class Wheels(Fresh):
    def setUp(self):
        super().setUp()
        self.python = python(self.home / "environment")
        self.run_program(self.python, "-m", "pip", "install", "--no-index", "--no-deps", "--disable-pip-version-check",
                         package("cupola_bin-*.whl"), package("cupola-*-py3-none-any.whl"))

    def test_it_answers_where_it_is_installed(self):
        self.answers(self.home / "environment" / "bin" / "cupola")

    def test_it_runs_as_a_module(self):
        self.answers(self.python, "-m", "cupola_bin")

    def test_the_client_finds_the_program_of_its_environment(self):
        self.addCleanup(self.run_program, self.python, "-m", "cupola_bin", "stop", "--force")
        self.assertEqual(self.run_program(self.python, "-c", SCRIPT).stdout.strip(), ANSWER)

    def test_the_client_takes_another_program_that_is_named(self):
        done = self.run_program(self.python, "-c", SCRIPT, check=False, CUPOLA_BINARY="/nowhere/cupola")
        self.assertIn("/nowhere/cupola does not start", done.stderr)


class Npm(Fresh):
    def install(self, *packages):
        # Offline, because npm would look for the packages of the other platforms.
        self.run_program("npm", "install", "--offline", "--no-audit", "--no-fund", "--loglevel=error", *packages)
        return self.home / "node_modules" / ".bin" / "cupola"

    def test_it_answers_where_it_is_installed_and_ends_as_the_program_does(self):
        program = self.install(package("cupola-cli-[0-9]*.tgz"), package("cupola-cli-*-*-*.tgz"))
        self.answers(program)
        self.assertEqual(self.run_program(program, "invoke", "--no-such-flag", check=False).returncode, 2)

    def test_a_signal_to_it_is_for_the_program(self):
        program = self.install(package("cupola-cli-[0-9]*.tgz"), package("cupola-cli-*-*-*.tgz"))
        serve = subprocess.Popen([program, "serve"], cwd=self.home, env=self.environment, stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(serve.stdout.close)
        self.addCleanup(serve.wait, LIMIT)
        self.addCleanup(serve.kill)
        self.assertTrue(serve.stdout.readline().startswith("ready "))
        serve.send_signal(signal.SIGTERM)
        self.assertEqual(serve.wait(LIMIT), 0)
        self.assertIn("no daemon is running", self.run_program(program, "stop").stdout)

    def test_without_the_package_for_the_platform_it_says_what_is_missing(self):
        program = self.install(package("cupola-cli-[0-9]*.tgz"))
        done = self.run_program(program, "version", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("error: the package @cupola/cli-", done.stderr)


class VsCode(Fresh):
    def test_the_program_in_it_answers_where_the_extension_is_installed(self):
        self.answers(self.install() / "bin" / "cupola")

    def install(self):
        """Installs it with a real VS Code, if one can be had here; otherwise the package is unpacked."""
        scripts = ROOT / "clients" / "vscode" / "scripts"
        server = ["node", scripts / "code-server.mjs"]
        extensions = self.home / "extensions"
        if subprocess.run([*server, "--check"], stdout=subprocess.DEVNULL).returncode == 0:
            entry = pathlib.Path(subprocess.run(server, check=True, capture_output=True, text=True).stdout.strip())
            node = entry.parents[2] / "node" / "node_modules" / "node" / "bin" / "node"
            self.run_program(node, entry, "--extensions-dir", extensions, "--user-data-dir", self.home / "data",
                             "--install-extension", package("*.vsix"))
            (installed,) = extensions.glob("cupola.cupola-*")
            return installed
        with zipfile.ZipFile(package("*.vsix")) as archive:
            for entry in archive.infolist():
                path = archive.extract(entry, extensions)
                os.chmod(path, (entry.external_attr >> 16) & 0o777 or 0o644)
        return extensions / "extension"


class Sums(Fresh):
    def test_every_package_has_its_digest(self):
        self.run_program("sh", "-c", f"cd '{PACKAGES}' && sha256sum --check --strict SHA256SUMS")
        named = {line.split()[1] for line in (PACKAGES / "SHA256SUMS").read_text().splitlines()}
        self.assertEqual(named, {path.name for path in PACKAGES.iterdir() if path.is_file()} - {"SHA256SUMS"})
