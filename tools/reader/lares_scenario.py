"""Running the conformance vectors (docs/spec/scenario.md)."""

import json

import lares_changes
import lares_license
import lares_session
import lares_state
from lares_cbor import Malformed
from lares_chain import evaluate_chain
from lares_child import check_child
from lares_decision import Decision, Findings, Input, SECURE
from lares_evaluate import choose, evaluate

UNORDERED = ("reasons", "notes", "would_unlock")


class Instance:
    """One instance: two states and at most one session."""

    def __init__(self):
        self.memory = self.durable = lares_state.decode(lares_state.ZERO)
        self.session = None

    def keep(self, state, durable=True):
        self.memory = state
        if durable:
            self.durable = state


class Result:
    def __init__(self, decision=None, failed=False, **more):
        self.decision, self.failed, self.more = decision, failed, more


def _canonical(name, value):
    if name in UNORDERED:
        return sorted(json.dumps(x, sort_keys=True) for x in value)
    return value


class Story:
    def __init__(self, data):
        self.data = data
        self.licenses = {x["name"]: lares_license.decode(bytes.fromhex(x["license"])) for x in data["licenses"]}
        self.instances = {name: Instance() for name in self.licenses}

    def input(self, step, name=None, **changes):
        name = name or step["license"]
        instance = self.instances[name]
        return Input(self.licenses[name], instance.memory, changes.get("clock", step["clock"]),
                     changes.get("env", step["env"]), step["request"], changes.get("session"))

    def do_evaluate(self, step, _):
        return Result(evaluate(self.input(step)))

    def do_chain(self, step, _):
        """The licenses of step["chain"], leaf first; the state is the leaf's."""
        leaf, *ancestors = step["chain"]
        return Result(evaluate_chain(self.input(step, leaf), [self.licenses[name] for name in ancestors]))

    def do_begin(self, step, instance):
        decision, state, session = lares_session.begin(self.input(step))
        if state is not None:
            instance.keep(state)
            instance.session = session
        return Result(decision)

    def do_watch(self, step, instance, passes=True):
        decision, done = None, 0
        for number in range(step["fragments"]):
            passed = number * step["fragment_ms"] if passes else 0
            clock = dict(step["clock"], est=step["clock"]["est"] + passed)
            grows = "lo" if clock["q"] == SECURE else "unsynced"
            clock[grows] += passed
            for track in step["tracks"]:
                fragment = {"kid": track["kid"], "bytes": track["bytes"], "duration": step["fragment_ms"],
                            "media": step["from"] + number * step["fragment_ms"]}
                inp = self.input(step, clock=clock, session=instance.session)
                decision, state, session, durable = lares_session.extend(inp, fragment, step["wall_ms"] + passed)
                if state is None:
                    return Result(decision, watched=done)
                instance.session = session
                instance.keep(state, durable)
            done += step["fragment_ms"]
        return Result(decision, watched=done)

    def do_read(self, step, instance):
        return self.do_watch(step, instance, passes=False)

    def do_end(self, step, instance):
        instance.keep(lares_session.end(self.input(step, session=instance.session), step["wall_ms"]))
        inp = self.input(step, session=instance.session)
        instance.session = None
        return Result(Decision(Findings(inp)))

    def do_crash(self, _, instance):
        instance.session, instance.memory = None, instance.durable
        return Result()

    def do_reserve(self, step, instance):
        decision, state = lares_changes.reserve(self.input(step))
        if state is not None:
            instance.keep(state)
        return Result(decision)

    def do_commit(self, step, instance):
        instance.keep(lares_changes.commit(instance.memory, step["action"], step["now"]))
        return Result()

    def do_release(self, step, instance):
        instance.keep(lares_changes.release(instance.memory, step["action"]))
        return Result()

    def do_give(self, step, instance):
        instance.keep(lares_changes.give(self.licenses[step["license"]], instance.memory, step["share"]))
        return Result()

    def do_take_back(self, step, instance):
        instance.keep(lares_changes.take_back(instance.memory, step["share"]))
        return Result()

    def do_deny(self, step, instance):
        instance.keep(lares_changes.deny(instance.memory, step["now"]))
        return Result()

    def do_continue(self, step, instance):
        """The new license takes over the instance, with the session that runs."""
        old, lic = step["from_license"], self.licenses[step["license"]]
        instance.keep(lares_changes.continue_with(lic, self.licenses[old], self.instances[old].memory))
        instance.session, self.instances[old].session = self.instances[old].session, None
        if instance.session is not None:
            instance.session = instance.session.under(lic)
        return Result()

    def do_derive(self, step, instance):
        """This reader derives nothing: it checks the child that is expected, and uses it from then on."""
        child = step["expect"]["child"]
        if child:
            lic = lares_license.decode(bytes.fromhex(child))
            faults = check_child(self.licenses[step["license"]], instance.memory, step["derive"], lic)
            if faults:
                raise Malformed("derive: the child is wrong in " + ", ".join(faults))
            if step["as"]:
                self.licenses[step["as"]], self.instances[step["as"]] = lic, Instance()
        return Result(failed=step["expect"]["failed"])

    def do_choose(self, step, _):
        candidates = []
        for entry in step["among"]:
            name = entry if isinstance(entry, str) else entry["license"]
            own = step["inputs"][name] if isinstance(step["inputs"], dict) else step["inputs"][step["among"].index(entry)]
            inp = self.input(step, name, clock=dict(step["clock"], lo_iss=own["lo_iss"]), env=dict(step["env"], keys=own["keys"]))
            candidates.append((inp, evaluate(inp), name))
        index = choose([c[:2] for c in candidates])
        return Result(candidates[index][1], choice=candidates[index][2])

    def do_set(self, step, instance):
        instance.session = None
        instance.keep(lares_state.decode(bytes.fromhex(step["expect"]["state"])))
        return Result()

    def step(self, step):
        """One step; the disagreements [(field, wanted, got)]."""
        expect = step["expect"]
        instance = self.instances.get(step["license"])
        try:
            result = getattr(self, "do_" + step["do"])(step, instance)
        except lares_changes.Failed:
            result = Result(failed=True)
        found = [(n, expect[n], v) for n, v in result.more.items() if n in expect and expect[n] != v]
        if expect["failed"] != result.failed:
            found.append(("failed", expect["failed"], result.failed))
        if expect["state"] and instance is not None:
            instance = self.instances[step["license"]]
            got = lares_state.encode_state(instance.memory).hex()
            if got != expect["state"]:
                found.append(("state", *state_difference(expect["state"], instance.memory)))
                self.adopt(instance, expect["state"])
        return found + decision_difference(expect["decision"], result.decision)

    def adopt(self, instance, wanted):
        """Go on from the state that was wanted, so that one disagreement is told once."""
        same = instance.durable is instance.memory
        instance.memory = lares_state.decode(bytes.fromhex(wanted))
        if same:
            instance.durable = instance.memory


def state_difference(wanted, got):
    """Only the fields that differ."""
    want, have = lares_state.fields_of(lares_state.decode(bytes.fromhex(wanted))), lares_state.fields_of(got)
    keys = [k for k in sorted(set(want) | set(have)) if want.get(k) != have.get(k)]
    return {k: want.get(k) for k in keys}, {k: have.get(k) for k in keys}


def decision_difference(wanted, decision):
    if wanted is None or decision is None:
        return [] if (wanted is None) == (decision is None) else [("decision", wanted, decision and decision.json())]
    got = decision.json()
    found = []
    for name in wanted:
        if _canonical(name, wanted[name]) != _canonical(name, got.get(name)):
            found.append((name, wanted[name], got.get(name)))
    return found


def run_file(path):
    """(steps, [(step number, line, text, field, wanted, got)])."""
    with open(path, encoding="utf-8") as source:
        story = Story(json.load(source))
    found = []
    for number, step in enumerate(story.data["steps"]):
        try:
            differences = story.step(step)
        except (Malformed, KeyError, ValueError, AttributeError, TypeError) as problem:
            differences = [("step", "to run", "%s: %s" % (type(problem).__name__, problem))]
        found += [(number, step.get("line"), step.get("text"), *d) for d in differences]
    return len(story.data["steps"]), found
