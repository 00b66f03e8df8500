"""Optimal matching of units into pairs: Edmonds' blossom algorithm on whole-number distances.

Distances are whole numbers and ties are broken by the order of the units, so the same pairs come out on every machine
and in every year; a general solver promises only the same total.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from wwc_eval.randomisation.exact_scores import Integers

__all__ = ["match_pairs"]

FREE, OUTER, INNER = -1, 0, 1


def match_pairs(distances: Integers) -> list[tuple[int, int]]:
    """Pairs of all units with the smallest total distance.

    Parameters
    ----------
    distances : (n, n) array of int
        Symmetric, 0 or more; n even; ``n`` times the largest stays below 2^60.

    Returns
    -------
    list of (int, int)
        Each pair in ascending order, pairs by their first unit.

    Notes
    -----
    Maximum-weight matching on a complete graph by the primal-dual method, O(n^3) (Edmonds 1965,
    doi:10.4153/CJM-1965-045-4; Galil 1986, doi:10.1145/6462.6502), with weights ``M - distance`` and M so large that
    every unit is matched.

    Examples
    --------
    >>> match_pairs(np.array([[0, 9, 1, 5], [9, 0, 5, 1], [1, 5, 0, 9], [5, 1, 9, 0]]))
    [(0, 2), (1, 3)]
    """
    n = len(distances)
    if n == 0:
        return []
    weights = np.zeros((n + 1, n + 1), dtype=np.int64)
    largest = int(distances.max())
    weights[1:, 1:] = (n // 2 + 1) * largest + 1 - distances
    np.fill_diagonal(weights, 0)
    weights[0, 0] = 0
    matched = _Search(weights).run()
    return sorted((u - 1, v - 1) for u, v in enumerate(matched) if 0 < u < v)


class _Search:
    """State of the search; vertex 0 is nobody, 1 to n are units, above are blossoms.

    ``top[x]`` is the outermost blossom of x; ``edge_u[a, b], edge_v[a, b]`` the units that join a and b best;
    ``label`` the dual values; ``slack[x]`` the outer unit nearest to x; ``inside[b, u]`` the child of b that holds u.
    """

    def __init__(self, weights: Integers) -> None:
        self.n = n = len(weights) - 1
        size = n + n // 2 + 2
        self.weights = weights
        self.last = n
        self.label = np.zeros(size, dtype=np.int64)
        self.label[1 : n + 1] = weights.max()
        self.match = [0] * size
        self.parent = [0] * size
        self.slack = np.zeros(size, dtype=np.int64)
        self.top = np.arange(size)
        self.top[n + 1 :] = 0
        self.state = np.full(size, FREE)
        self.visited = [0] * size
        self.round = 0
        self.children: list[list[int]] = [[] for _ in range(size)]
        self.inside = np.zeros((size, n + 1), dtype=np.int64)
        self.inside[np.arange(n + 1), np.arange(n + 1)] = np.arange(n + 1)
        units = np.where(np.arange(size) <= n, np.arange(size), 0)
        self.edge_u = np.tile(units[:, None], (1, size))
        self.edge_v = np.tile(units[None, :], (size, 1))
        self.known = np.zeros((size, size), dtype=bool)
        self.known[1 : n + 1, 1 : n + 1] = ~np.eye(n, dtype=bool)
        self.queue: deque[int] = deque()

    def run(self) -> list[int]:
        while self._augment_once():
            pass
        return [int(self.match[u]) for u in range(self.n + 1)]

    def _reduced(self, a: int | Integers, b: int | Integers) -> Integers:
        """Reduced cost of the best edge between a and b, doubled; 0 when tight."""
        u, v = self.edge_u[a, b], self.edge_v[a, b]
        found: Integers = self.label[u] + self.label[v] - 2 * self.weights[u, v]
        return found

    def _augment_once(self) -> bool:
        live = slice(0, self.last + 1)
        self.state[live] = FREE
        self.slack[live] = 0
        self.queue.clear()
        for x in range(1, self.last + 1):
            if self.top[x] == x and not self.match[x]:
                self.parent[x] = 0
                self.state[x] = OUTER
                self._push(x)
        if not self.queue:
            return False
        while True:
            while self.queue:
                if self._scan(self.queue.popleft()):
                    return True
            self._move_duals()
            if self._take_tight():
                return True
            for b in range(self.n + 1, self.last + 1):
                if self.top[b] == b and self.state[b] == INNER and self.label[b] == 0:
                    self._expand(b)

    def _scan(self, u: int) -> bool:
        """Look along all edges of an outer unit; True when the matching grew."""
        if self.state[self.top[u]] == INNER:
            return False
        n = self.n
        reduced = self.label[u] + self.label[1 : n + 1] - 2 * self.weights[u, 1:]
        other = self.top[1 : n + 1] != self.top[u]
        for v in (np.flatnonzero((reduced == 0) & other) + 1).tolist():
            if self.top[u] != self.top[v] and self._found(u, v):
                return True
        near = np.unique(self.top[1 : n + 1][(reduced != 0) & (self.top[1 : n + 1] != self.top[u])])
        if near.size:
            mine = self._reduced(u, near)
            slack = self.slack[near]
            better = (slack == 0) | (mine < self._reduced(slack, near))
            self.slack[near[better]] = u
        return False

    def _move_duals(self) -> None:
        n, last = self.n, self.last
        alive = np.arange(1, last + 1)
        alive = alive[self.top[alive] == alive]
        steps = []
        inner = alive[(alive > n) & (self.state[alive] == INNER)]
        if inner.size:
            steps.append(int(self.label[inner].min()) // 2)
        reached = alive[self.slack[alive] > 0]
        for state, divisor in ((FREE, 1), (OUTER, 2)):
            chosen = reached[self.state[reached] == state]
            if chosen.size:
                steps.append(int(self._reduced(self.slack[chosen], chosen).min()) // divisor)
        step = min(steps)
        units = np.arange(1, n + 1)
        states = self.state[self.top[units]]
        self.label[units] += np.where(states == OUTER, -step, np.where(states == INNER, step, 0))
        blossoms = alive[alive > n]
        states = self.state[blossoms]
        self.label[blossoms] += np.where(states == OUTER, 2 * step, np.where(states == INNER, -2 * step, 0))

    def _take_tight(self) -> bool:
        x = np.arange(1, self.last + 1)
        x = x[(self.top[x] == x) & (self.slack[x] > 0)]
        x = x[self._reduced(self.slack[x], x) == 0]
        for node in x.tolist():
            near = int(self.slack[node])
            if self.top[node] != node or not near or self.top[near] == node:
                continue
            if self._reduced(near, node) == 0 and self._found(
                int(self.edge_u[near, node]), int(self.edge_v[near, node])
            ):
                return True
        return False

    def _found(self, unit_u: int, unit_v: int) -> bool:
        u, v = int(self.top[unit_u]), int(self.top[unit_v])
        if self.state[v] == FREE:
            self.parent[v] = unit_u
            self.state[v] = INNER
            partner = int(self.top[self.match[v]])
            self.slack[v] = self.slack[partner] = 0
            self.state[partner] = OUTER
            self._push(partner)
        elif self.state[v] == OUTER:
            base = self._common(u, v)
            if not base:
                self._augment(u, v)
                self._augment(v, u)
                return True
            self._shrink(u, base, v)
        return False

    def _push(self, x: int) -> None:
        if x <= self.n:
            self.queue.append(x)
        else:
            for child in self.children[x]:
                self._push(child)

    def _set_top(self, x: int, b: int) -> None:
        self.top[x] = b
        if x > self.n:
            for child in self.children[x]:
                self._set_top(child, b)

    def _set_slack(self, x: int) -> None:
        self.slack[x] = 0
        units = np.arange(1, self.n + 1)
        tops = self.top[units]
        units = units[self.known[units, x] & (tops != x) & (self.state[tops] == OUTER)]
        if units.size:
            self.slack[x] = units[int(np.argmin(self._reduced(units, x)))]

    def _even(self, b: int, child: int) -> int:
        """Place of a child of b at an even distance from the base, turning the ring round if need be."""
        ring = self.children[b]
        place = ring.index(child)
        if place % 2:
            ring[1:] = ring[:0:-1]
            return len(ring) - place
        return place

    def _set_match(self, u: int, v: int) -> None:
        self.match[u] = int(self.edge_v[u, v])
        if u > self.n:
            child = int(self.inside[u, self.edge_u[u, v]])
            place = self._even(u, child)
            ring = self.children[u]
            for i in range(place):
                self._set_match(ring[i], ring[i ^ 1])
            self._set_match(child, v)
            self.children[u] = ring[place:] + ring[:place]

    def _augment(self, u: int, v: int) -> None:
        while True:
            following = int(self.top[self.match[u]])
            self._set_match(u, v)
            if not following:
                return
            above = int(self.top[self.parent[following]])
            self._set_match(following, above)
            u, v = above, following

    def _common(self, u: int, v: int) -> int:
        self.round += 1
        while u or v:
            if u:
                if self.visited[u] == self.round:
                    return u
                self.visited[u] = self.round
                u = int(self.top[self.match[u]])
                if u:
                    u = int(self.top[self.parent[u]])
            u, v = v, u
        return 0

    def _shrink(self, u: int, base: int, v: int) -> None:
        b = self.n + 1
        while b <= self.last and self.top[b]:
            b += 1
        self.last = max(self.last, b)
        self.label[b] = 0
        self.state[b] = OUTER
        self.match[b] = self.match[base]
        ring = [base]
        for start in (u, v):
            x = start
            while x != base:
                y = int(self.top[self.match[x]])
                ring += [x, y]
                self._push(y)
                x = int(self.top[self.parent[y]])
            if start == u:
                ring[1:] = ring[:0:-1]
        self.children[b] = ring
        self._set_top(b, b)
        self._join(b)
        self._set_slack(b)

    def _join(self, b: int) -> None:
        """Best edges between a new blossom and everything else."""
        x = np.arange(1, self.last + 1)
        self.known[b, :] = self.known[:, b] = False
        self.inside[b] = 0
        for child in self.children[b]:
            better = self.known[child, x] & (~self.known[b, x] | (self._reduced(child, x) < self._reduced(b, x)))
            at = x[better]
            self.edge_u[b, at], self.edge_v[b, at] = self.edge_u[child, at], self.edge_v[child, at]
            self.edge_u[at, b], self.edge_v[at, b] = self.edge_u[at, child], self.edge_v[at, child]
            self.known[b, at] = self.known[at, b] = True
            self.inside[b, self.inside[child] > 0] = child

    def _expand(self, b: int) -> None:
        for child in self.children[b]:
            self._set_top(child, child)
        entry = int(self.inside[b, self.edge_u[b, self.parent[b]]])
        place = self._even(b, entry)
        ring = self.children[b]
        for i in range(0, place, 2):
            inner, outer = ring[i], ring[i + 1]
            self.parent[inner] = int(self.edge_u[outer, inner])
            self.state[inner], self.state[outer] = INNER, OUTER
            self.slack[inner] = 0
            self._set_slack(outer)
            self._push(outer)
        self.state[entry] = INNER
        self.parent[entry] = self.parent[b]
        for child in ring[place + 1 :]:
            self.state[child] = FREE
            self._set_slack(child)
        self.top[b] = 0
