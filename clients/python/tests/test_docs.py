"""Every example in the documentation is run: docstrings of both clients, and docs/python.md."""

import ast
import asyncio
import builtins
import contextlib
import doctest
import importlib
import inspect
import os
import pkgutil
import types
import unittest
from unittest import mock

import cupola
import make_sync
from support import ROOT, Daemon, WithDaemon

GROUPS = ("Agents", "Auth", "Daemon", "Files", "Partitions", "Runs", "Sessions")
# What a REPL of `python -m asyncio` does: `await` may stand anywhere.
FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


class Examples(WithDaemon):
    """Each docstring gets its own client, with an unused isolation."""

    def setUp(self):
        self.enterContext(mock.patch.dict(os.environ, self.daemon.environment, clear=True))
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.daemon.directory)
        self.loop = asyncio.new_event_loop()
        self.addCleanup(self.loop.close)

    def enterContext(self, context):
        """As unittest has it from Python 3.11 on."""
        result = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return result

    def check(self, test, uses_await, user):
        options = {"target": cupola.emulator(), "isolation": cupola.Isolation(user_key=user)}
        client = cupola.AsyncClient(**options) if uses_await else cupola.Client(**options)
        test.globs.update(cupola=cupola, client=client)
        try:
            return self.run_examples(test)
        finally:
            if uses_await:
                self.loop.run_until_complete(client.aclose())
            else:
                client.close()

    def run_examples(self, test):
        """Fails with the whole report; returns how many examples ran."""
        report = []
        runner = doctest.DocTestRunner()
        with (
            mock.patch.object(doctest, "exec", self.execute, create=True),
            mock.patch.object(doctest, "compile", _compile, create=True),
        ):
            runner.run(test, out=report.append, clear_globs=False)
        self.assertEqual(runner.failures, 0, "".join(report))
        return runner.tries

    def execute(self, code, scope):
        if code.co_flags & inspect.CO_COROUTINE:
            self.loop.run_until_complete(types.FunctionType(code, scope)())
        else:
            builtins.exec(code, scope)

    @contextlib.contextmanager
    def daemon_for(self, test):
        """An example that stops its daemon gets a separate one."""
        if "daemon.stop(" not in test.docstring:
            yield
            return
        daemon = Daemon()
        try:
            with mock.patch.dict(os.environ, daemon.environment):
                yield
        finally:
            daemon.remove()

    def test_every_docstring(self):
        examples = 0
        for module in modules():
            for test in doctest.DocTestFinder(exclude_empty=True).find(module, globs={}):
                if test.examples:
                    with self.subTest(test.name), self.daemon_for(test):
                        examples += self.check(test, "cupola._async" in module.__name__, test.name)
        self.assertGreater(examples, 50)

    def test_every_method_has_an_example(self):
        for owner in (cupola.Client, cupola.AsyncClient, cupola.Run, cupola.AsyncRun):
            groups = [type(value) for value in vars(owner()).values()] if "Client" in owner.__name__ else []
            for each in [owner, *(group for group in groups if group.__name__.removeprefix("Async") in GROUPS)]:
                for name, member in vars(each).items():
                    if inspect.isfunction(member) and not name.startswith("_"):
                        self.assertIn(">>>", member.__doc__ or "", f"{each.__name__}.{name}")

    def test_the_page(self):
        """From top to bottom, as somebody who reads it would type it."""
        text = (ROOT / "docs" / "python.md").read_text()
        blocks = [block.partition("```")[0] for block in text.split("```pycon\n")[1:]]
        self.assertGreater(len(blocks), 4)
        page = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "docs/python.md", None, 0)
        try:
            self.run_examples(page)
        finally:
            page.globs["client"].close()


class Made(unittest.TestCase):
    def test_the_blocking_client_is_made_from_the_asyncio_one(self):
        for path, text in make_sync.made().items():
            self.assertEqual(path.read_text(), text, f"{path.name}: run python3 clients/python/make_sync.py")


def modules():
    found = pkgutil.walk_packages(cupola.__path__, "cupola.")
    return [cupola, *(importlib.import_module(each.name) for each in found)]


def _compile(source, name, mode, flags, dont_inherit):
    return builtins.compile(source, name, mode, flags | FLAGS, dont_inherit)
