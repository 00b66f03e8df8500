"""Plain data as YAML in a random style: what is written differs, what is meant does not."""

from __future__ import annotations

import json
import random
import re

PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*( [a-z][a-z0-9_]*)*")
WORDS = {"null", "true", "false", "Null", "NULL", "True", "TRUE", "False", "FALSE", "~"}


def scalar(value, rng):
    if value is None:
        return rng.choice(["null", "~", "Null"])
    if isinstance(value, bool):
        return rng.choice([str(value).lower(), str(value), str(value).upper()])
    if isinstance(value, (int, float)):
        return json.dumps(value)
    styles = [json.dumps(value, ensure_ascii=rng.random() < 0.5)]
    if "\n" not in value:
        styles.append("'" + value.replace("'", "''") + "'")
    if PLAIN.fullmatch(value) and value not in WORDS:
        styles += [value] * 3
    return rng.choice(styles)


def space(rng):
    return " " * rng.choice([0, 0, 1, 3])


def flow(value, rng):
    if isinstance(value, dict):
        items = [f"{scalar(key, rng)}:{space(rng)} {flow(item, rng)}" for key, item in shuffled(value, rng)]
        return "{" + space(rng) + f",{space(rng)} ".join(items) + space(rng) + "}"
    if isinstance(value, list):
        return "[" + space(rng) + f",{space(rng)} ".join(flow(item, rng) for item in value) + space(rng) + "]"
    return scalar(value, rng)


def shuffled(mapping, rng):
    items = list(mapping.items())
    rng.shuffle(items)
    return items


def comment(rng, depth):
    return f"{' ' * depth}# {rng.choice(['note', 'a: 1', '- x', '{'])}\n" if rng.random() < 0.1 else ""


def block(value, rng, depth=0):
    """Lines of a mapping or list at an indent."""
    pad = " " * depth
    text = ""
    step = rng.choice([2, 3, 4])
    if isinstance(value, dict):
        for key, item in shuffled(value, rng):
            text += comment(rng, depth) + ("\n" if rng.random() < 0.1 else "")
            text += f"{pad}{scalar(key, rng)}:{after(item, rng, depth + step)}"
    else:
        for item in value:
            text += f"{pad}-{after(item, rng, depth + step)}"
    return text


def after(item, rng, depth):
    tail = rng.choice(["", "", "   # why", "  "])
    if isinstance(item, (dict, list)) and item and rng.random() < 0.7:
        return tail + "\n" + block(item, rng, depth)
    return f"{space(rng)} {flow(item, rng)}{tail}\n"


def written(data, seed):
    """The data as YAML in the style of a seed."""
    rng = random.Random(seed)
    head = rng.choice(["", "---\n", "# a plan\n", "%YAML 1.2\n---\n"])
    text = head + block(data, rng)
    return text.replace("\n", "\r\n") if rng.random() < 0.1 else text


def leaves(value, path=()):
    """Paths of every value that could be changed."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path


def mutated(data, seed):
    """A copy with one field changed, and what was done."""
    rng = random.Random(seed)
    copy = json.loads(json.dumps(data))
    path = rng.choice(list(leaves(copy)))
    parent = copy
    for part in path[:-1]:
        parent = parent[part]
    old = parent[path[-1]]
    kind = rng.choice(["value", "value", "value", "type", "remove", "add"])
    if kind == "remove":
        del parent[path[-1]]
    elif kind == "add" and isinstance(parent, dict):
        parent["extra_field"] = old
    elif kind == "add":
        parent.append(old)
    elif kind == "type":
        parent[path[-1]] = str(old) if not isinstance(old, str) else [old]
    else:
        parent[path[-1]] = other(old, rng)
    return copy, (path, kind, old)


def other(old, rng):
    """A value that is near the old one but not it."""
    if isinstance(old, bool):
        return not old
    if isinstance(old, int):
        return rng.choice([old + 1, -old - 1, float(old)])
    if isinstance(old, float):
        return rng.choice([old * (1 + 1e-15) + 5e-324, -old - 1.0, old + 0.01])
    if isinstance(old, str):
        return rng.choice([old + "x", old.upper() + "_", old[:-1] + "~", old + " "])
    return "something" if old is None else [1] if old == [] else {"x": 1}
