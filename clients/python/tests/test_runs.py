"""Runs that outlive who began them, and are followed and ended by others."""

import cupola
from support import WithDaemon, until


class Runs(WithDaemon):
    def status(self, client, run_id):
        return client.runs.show(run_id)["status"]

    def begin(self, client, text, **options):
        """Begins a run, leaves it after its first words, and returns its id."""
        with client.invoke(text, **options) as run:
            for event in run:
                if event["type"] == "textDelta":
                    return run.id

    def test_leaving_a_detached_run_only_stops_listening(self):
        client = self.client()
        run_id = self.begin(client, "slow 30 20", detach=True)
        self.assertEqual(client.runs.attach(run_id).text().count(" "), 29)
        self.assertEqual(self.status(client, run_id), "completed")

    def test_a_detached_run_outlives_its_client(self):
        with cupola.connect(**self.options) as first:
            run_id = self.begin(first, "slow 1000", detach=True)
        second = self.client()
        self.assertEqual(self.status(second, run_id), "running")
        self.assertEqual([run["runId"] for run in second.runs.list()["runs"]], [run_id])
        self.assertEqual(second.runs.cancel(run_id)["status"], "cancelled")

    def test_leaving_another_run_ends_it(self):
        client = self.client()
        run_id = self.begin(client, "slow 1000")
        until("it ends", lambda: self.status(client, run_id) == "cancelled")

    def test_who_is_attached_sees_what_was_said_and_what_is_said(self):
        client, other = self.client(), self.client()
        with client.invoke("slow 10 20", text_only=True) as run:
            first = [next(run), next(run), next(run)]
            with other.runs.attach(run.id, text_only=True) as attached:
                theirs = [event["number"] for event in attached]
            mine = [event["number"] for event in [*first, *run]]
        self.assertEqual(theirs, mine)
        self.assertEqual(run.result["text"], attached.result["text"])
        later = [event["number"] for event in other.runs.attach(run.id, after=mine[4], text_only=True)]
        self.assertEqual(later, mine[5:])

    def test_leaving_an_attached_run_leaves_it_running(self):
        client, other = self.client(), self.client()
        with client.invoke("slow 1000") as run:
            next(run)
            with other.runs.attach(run.id) as attached:
                next(attached)
            until("one is left", lambda: client.runs.show(run.id)["clients"] == 1)
            self.assertEqual(self.status(client, run.id), "running")

    def test_a_run_ended_by_another_client_is_cancelled_for_its_own(self):
        client, other = self.client(), self.client()
        with client.invoke("slow 1000") as run:
            next(run)
            other.runs.cancel(run.id)
            self.assertEqual([event["type"] for event in run][-1], "cancelled")

    def test_each_isolation_lists_its_own(self):
        client = self.client()
        other = client.using(isolation=cupola.Isolation(user_key=f"{self.id()}-other"))
        other.invoke("hello").text()
        self.assertEqual(client.runs.list()["runs"], [])
        self.assertEqual(len(other.runs.list()["runs"]), 1)
        self.assertGreaterEqual(len(client.runs.list(everyones=True)["runs"]), 1)

    def test_the_lists_of_a_place_have_all_its_agents(self):
        client = self.client()
        client.invoke("hello").text()
        beside = client.using(target={"kind": "emulator", "agent": "notes-identity"}, isolation=cupola.Isolation())
        beside.invoke("hello").text()
        both = {"emulator/notes", "emulator/notes-identity"}
        self.assertEqual({run["agent"] for run in client.runs.list(any_agent=True)["runs"]}, both)
        saved = client.partitions.list(any_agent=True)["partitions"]
        self.assertEqual({each["agent"] for each in saved}, both)
        self.assertEqual({run["agent"] for run in client.runs.list()["runs"]}, {"emulator/notes"})
        self.assertEqual({each["agent"] for each in client.partitions.list()["partitions"]}, {"emulator/notes"})

    def test_saved_state_is_listed_page_by_page(self):
        client = self.client()
        for number in range(3):
            client.using(isolation=cupola.Isolation(user_key=f"{self.id()}-{number}")).invoke("hello").text()
        found, after = [], None
        while True:
            page = client.partitions.list(limit=2, after=after)
            self.assertLessEqual(len(page["partitions"]), 2)
            found += [each["id"] for each in page["partitions"]]
            after = page.get("next")
            if after is None:
                break
        self.assertCountEqual(found, [each["id"] for each in client.partitions.list()["partitions"]])
        self.assertGreaterEqual(len(found), 3)

    def test_a_bound_client_sees_no_other(self):
        other = self.client(isolation=cupola.Isolation(user_key=f"{self.id()}-other"))
        theirs = other.invoke("hello").wait()["runId"]
        client = self.client(bind=True)
        self.assertEqual(client.runs.list(everyones=True)["runs"], [])
        for reach in (client.runs.show, client.runs.cancel, lambda run_id: client.runs.attach(run_id).wait()):
            with self.assertRaises(cupola.NotFoundError):
                reach(theirs)
