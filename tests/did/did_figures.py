"""Figures of another program beside ours, leaf by leaf: none may be left without a counterpart."""


def leaves(tree, place=()):
    """Every leaf of nested mappings and lists, with its place."""
    if isinstance(tree, dict | list):
        inside = tree.items() if isinstance(tree, dict) else enumerate(tree)
        for key, value in inside:
            yield from leaves(value, (*place, key))
    else:
        yield place, tree


def written(place):
    """A place in one line: ``la/none/sunab_dynamic/T::-6/est``."""
    return "/".join(str(part) for part in place)


def agree(ours, theirs, tolerance):
    """Two trees of one layout: the same places, words equal, numbers within a tolerance of each.

    ``tolerance(place)`` gives a distance in relation to theirs, or a tuple of it and of an absolute one of which the larger
    holds. Every place that disagrees is named. Returns how many numbers were compared.
    """
    mine, other = dict(leaves(ours)), dict(leaves(theirs))
    assert mine.keys() == other.keys(), (
        f"without a counterpart: {sorted(map(written, mine.keys() ^ other.keys()))}"
    )
    wrong, count = [], 0
    for place, value in other.items():
        found = mine[place]
        if value is None or isinstance(value, str | bool):
            fine = found == value and type(found) is type(value)
        else:
            count += 1
            allowed = tolerance(place)
            relative, absolute = allowed if isinstance(allowed, tuple) else (allowed, 0.0)
            fine = abs(found - value) <= max(relative * abs(value), absolute)
        if not fine:
            wrong.append(f"{written(place)}: {found!r}, theirs {value!r}")
    assert not wrong, "\n".join(wrong[:20])
    return count


def solved(matrix, right):
    """Solution of a small linear system in fractions."""
    rows = [[*line, value] for line, value in zip(matrix, right, strict=True)]
    for k in range(len(rows)):
        pivot = next(i for i in range(k, len(rows)) if rows[i][k])
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k] = [value / rows[k][k] for value in rows[k]]
        for i in range(len(rows)):
            if i != k and rows[i][k]:
                rows[i] = [a - rows[i][k] * b for a, b in zip(rows[i], rows[k], strict=True)]
    return [row[-1] for row in rows]
