import json
import logging

import pytest
from conftest import CHECKPOINTS, RESOURCES, checkpoint, conformance

from kvshare import FormatError, MismatchError, PolicyError, read_policy
from kvshare.fingerprint import _hexadecimal, fingerprint
from kvshare.policy import Kept, Plan, Windows

POLICIES = RESOURCES / "dev/kvshare/apply/policy"


@pytest.mark.parametrize("file", sorted(POLICIES.rglob("*.json")), ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_the_golden_files_of_both_versions_are_read(file):
    root = json.loads(file.read_text("utf-8-sig"))
    plan = read_policy(file).plan
    assert list(plan.kv_source) == root.get("plan", root)["kv_source"]


def test_version_1_is_version_2_with_the_plan_spread_out(tmp_path):
    old = tmp_path / "old.json"
    old.write_text(
        json.dumps(
            {
                "schema": "kvshare.policy/1",
                "kv_source": [0, 1, 1],
                "windowed_layers": [2, 0],
                "attention_sinks": 4,
                "sliding_window": 64,
            }
        )
    )
    assert read_policy(old).plan == Plan((0, 1, 1), Windows((0, 2), 4, 64))


@pytest.mark.parametrize(
    ("tree", "fragment"),
    [
        ({"schema": "kvshare.policy/3", "plan": {"kv_source": [0]}}, "kvshare.policy/3"),
        ({"schema": "other/2"}, "$.schema"),
        ({"schema": "kvshare.policy/2"}, "$.plan: an object"),
        (
            {"schema": "kvshare.policy/2", "plan": {"kv_source": [0, 0], "windwo": None}},
            "$.plan.windwo is no field",
        ),
        (
            {
                "schema": "kvshare.policy/2",
                "model": {"num_hidden_layers": 1, "x": 1},
                "plan": {"kv_source": [0]},
            },
            "$.model.x",
        ),
        (
            {"schema": "kvshare.policy/2", "model": {"num_hidden_layers": 2}, "plan": {"kv_source": [0]}},
            "has 1 entries",
        ),
        ({"schema": "kvshare.policy/2", "plan": {"kv_source": [0, 0, 1]}}, "itself reads layer 0"),
        ({"schema": "kvshare.policy/2", "plan": {"kv_source": [0, 7]}}, "does not exist"),
        ({"schema": "kvshare.policy/2", "plan": {"kv_source": [1, 1]}}, "$.plan.upward is null"),
        ({"schema": "kvshare.policy/2", "plan": {"kv_source": [0], "prefill": "fast"}}, "$.plan.prefill"),
        (
            {"schema": "kvshare.policy/2", "plan": {"kv_source": [0], "window": {"layers": [0]}}},
            "$.plan.window.last",
        ),
        (
            {"schema": "kvshare.policy/2", "plan": {"kv_source": [0], "window": {"layers": [1], "last": 4}}},
            "names layer 1",
        ),
        (
            {"schema": "kvshare.policy/2", "plan": {"kv_source": [0]}, "repair": {"file": "../x"}},
            "$.repair.file",
        ),
    ],
)
def test_what_breaks_a_rule_is_refused_by_name(tmp_path, tree, fragment):
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(tree))
    with pytest.raises(FormatError) as refused:
        read_policy(file)
    assert fragment in str(refused.value)


def test_no_file_and_no_json_are_refused(tmp_path):
    with pytest.raises(PolicyError, match="no policy file"):
        read_policy(tmp_path / "absent.json")
    broken = tmp_path / "broken.json"
    broken.write_text('{"schema": "kvshare.policy/2", "schema": 1}')
    with pytest.raises(FormatError, match="stands twice"):
        read_policy(broken)


def test_an_unknown_field_beside_the_plan_is_a_warning(written, caplog):
    with caplog.at_level(logging.WARNING, "kvshare"):
        read_policy(written([0, 1], notes="mine"))
    assert "$.notes" in caplog.text


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_the_fingerprint_is_that_of_the_java_runtime(name):
    assert fingerprint(checkpoint(name)) == read_policy(conformance(name, "own")).model.fingerprint


def test_a_policy_in_the_configuration_leaves_the_fingerprint_as_it_is(tmp_path):
    for file in checkpoint("llama").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    (tmp_path / "config.json").write_text(json.dumps({**config, "kvshare_policy": {}}), "utf-8")
    assert fingerprint(tmp_path) == fingerprint(checkpoint("llama"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "0x1.0p0"),
        (0.1, "0x1.999999999999ap-4"),
        (64.0, "0x1.0p6"),
        (0.0, "0x0.0p0"),
        (-1.5, "-0x1.8p0"),
    ],
)
def test_numbers_are_written_as_java_writes_them(value, text):
    assert _hexadecimal(value) == text


def test_an_edited_plan_keeps_its_weights_out(tmp_path):
    policy = conformance("llama", "repaired")
    for file in policy.parent.glob("repaired*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert read_policy(tmp_path / "repaired.json").weights_file() == tmp_path / "repaired.safetensors"
    tree = json.loads(policy.read_text())
    tree["plan"]["window"]["last"] += 1
    (tmp_path / "repaired.json").write_text(json.dumps(tree))
    with pytest.raises(MismatchError, match=r"repair\.plan_sha256"):
        read_policy(tmp_path / "repaired.json").weights_file()


def test_another_weights_file_is_refused_and_a_new_one_found(tmp_path, caplog):
    policy = conformance("llama", "repaired")
    copy = tmp_path / "repaired.json"
    copy.write_bytes(policy.read_bytes())
    assert read_policy(copy).weights_file() is None
    assert "is not there" in caplog.text
    (tmp_path / "repaired.safetensors").write_bytes(b"other")
    with pytest.raises(MismatchError, match="SHA-256"):
        read_policy(copy).weights_file()
    fresh = tmp_path / "repaired.safetensors.new"
    fresh.write_bytes(policy.with_suffix(".safetensors").read_bytes())
    assert read_policy(copy).weights_file() == fresh


def test_what_an_owner_keeps_is_what_its_readers_see():
    plan = Plan((0, 1, 1, 3, 0), Windows((1, 2, 3), 4, 64))
    assert [plan.kept(layer, [0] * 5) for layer in range(5)] == [None, Kept(4, 64), None, Kept(4, 64), None]
    assert plan.kept(1, [0, 16, 16, 0, 0]) == Kept(0, 16)
