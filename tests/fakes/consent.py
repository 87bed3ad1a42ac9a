"""A consent record with its gate on a real file, and facts that a test can change."""

from agent.consent.gate import Facts, Gate
from agent.consent.mark import Mark
from agent.consent.record import Act, Evidence, Record
from agent.consent.switch import Switch
from agent.consent.wording import PURPOSE
from agent.status import ConsentState
from agent.store.database import Database

NOTICE = "contribute-1-0123456789abcdef"
SEEN = Evidence(NOTICE, "ab" * 32, "en", "cli")
PATHS = {
    ConsentState.UNASKED: (),
    ConsentState.GRANTED: (Act.GRANT,),
    ConsentState.REFUSED: (Act.REFUSE,),
    ConsentState.WITHDRAWN: (Act.GRANT, Act.WITHDRAW),
    ConsentState.STALE: (Act.GRANT,),
}
"""The acts that lead to each state."""


class RecordedConsent:
    """A record with its gate. `facts` starts without anything that forbids."""

    def __init__(self, folder, clock):
        self.path = folder / "agent.sqlite3"
        self.clock = clock
        self.facts = Facts(
            NOTICE, 12, "", do_not_track=False, demo_home=False, server_host="fl.example.org"
        )
        self.database = Database(self.path)
        self.record = self._record()
        self.gate = Gate(self.record, lambda: self.facts)

    def _record(self):
        switch, mark = self.path.with_name("consent-switch"), self.path.with_name("withdrawn")
        return Record(self.database, self.clock, Switch(switch), Mark(mark))

    def act(self, act, evidence=SEEN):
        self.record.act(self.gate.consent_status(), act, evidence, PURPOSE, "")

    def state(self):
        return self.gate.consent_status().state

    def set(self, **changes):
        self.facts = Facts(**{**vars(self.facts), **changes})

    def enter(self, state):
        for act in PATHS[state]:
            self.act(act)
        if state is ConsentState.STALE:
            self.set(notice_id="contribute-2-0123456789abcdef")
        assert self.state() is state

    def reopen(self):
        self.database.close()
        self.database = Database(self.path)
        self.record = self._record()
        self.gate = Gate(self.record, lambda: self.facts)
