"""The BROJA decomposition: gates, identities, and two independent solvers."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

from mmkd_lab.core.check import LabError
from mmkd_lab.shares import pid_newton, pid_solver
from mmkd_lab.shares.pid import PID, mutual_information, pid, pid_stack, table_of

BITS = 1e-7


def gate(rule, sides=2):
    """p(x1, x2, y) of a rule on two uniform sources."""
    values = {(i, j): rule(i, j) for i in range(sides) for j in range(sides)}
    table = np.zeros((sides, sides, max(values.values()) + 1))
    for (i, j), y in values.items():
        table[i, j, y] = 1.0
    return table


RDN = np.zeros((2, 2, 2))
RDN[0, 0, 0] = RDN[1, 1, 1] = 1.0
# Bertschinger et al. 2014, table 1: I(X1; Y) of AND is H(1/4) - 1/2, all of it redundant.
AND_SHARED = -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75)) - 0.5
GATES = {
    "XOR": (gate(lambda i, j: i ^ j), (0, 0, 0, 1)),
    "AND": (gate(lambda i, j: i & j), (AND_SHARED, 0, 0, 0.5)),
    "RDN": (RDN, (1, 0, 0, 0)),
    "UNQ1": (gate(lambda i, j: i), (0, 1, 0, 0)),
    "UNQ2": (gate(lambda i, j: j), (0, 0, 1, 0)),
    "COPY": (gate(lambda i, j: 2 * i + j), (0, 1, 1, 0)),
    "XOR of 3": (gate(lambda i, j: (i + j) % 3, 3), (0, 0, 0, np.log2(3))),
}


def parts(found: PID) -> np.ndarray:
    return np.array([found.redundancy, found.unique_1, found.unique_2, found.synergy])


def random_tables(count=30, seed=11):
    """Dense, sparse, deterministic and counted tables of many shapes."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        shape = tuple(int(side) for side in rng.integers(2, 7, size=3))
        cells = int(np.prod(shape))
        kind = i % 4
        table = rng.dirichlet(np.ones(cells) * (1.0, 0.1, 1.0, 0.5)[kind]).reshape(shape)
        if kind == 2:
            table = np.eye(shape[2])[rng.integers(shape[2], size=shape[:2])] * table.sum(2, keepdims=True)
        if kind == 3:
            table = rng.multinomial(60, table.ravel()).reshape(shape).astype(float)
        yield table


@pytest.mark.parametrize("name", GATES)
def test_gates_have_their_known_parts(name):
    table, expected = GATES[name]
    assert parts(pid(table)) == pytest.approx(expected, abs=BITS)


@pytest.mark.parametrize("name", ["XOR", "AND", "COPY"])
def test_gates_agree_with_dit(name):
    dit = pytest.importorskip("dit", reason="dit is not installed (extra 'test')")
    table = GATES[name][0] / GATES[name][0].sum()
    outcomes = [tuple(int(i) for i in cell) for cell in np.argwhere(table > 0)]
    distribution = dit.Distribution(
        ["".join(map(str, cell)) for cell in outcomes], [table[c] for c in outcomes]
    )
    # dit's default for small alphabets is SLSQP from a random start, which can stop outside the marginals it
    # must keep (a unique part of 0.95 bits on XOR). Its alternating minimisation needs no start and no luck.
    lattice = dit.pid.PID_BROJA(distribution, method="admui")
    nodes = (((0,), (1,)), ((0,),), ((1,),), ((0, 1),))
    assert parts(pid(table)) == pytest.approx([lattice[node] for node in nodes], abs=1e-5)


def with_cvxpy(table: np.ndarray) -> float:
    """The least I_q(X1, X2; Y) in bits, by a cone program over the cells that may hold mass."""
    cp = pytest.importorskip("cvxpy", reason="CVXPY is not installed (extra 'test')")
    p = table / table.sum()
    n1, n2, k = p.shape
    on = (p.sum(1)[:, None, :] > 0) & (p.sum(0)[None] > 0)
    cells = [tuple(cell) for cell in np.argwhere(on)]
    where = {cell: i for i, cell in enumerate(cells)}
    q = cp.Variable(len(cells), nonneg=True)
    sums = [sum(q[where[i, j, y]] for y in range(k) if on[i, j, y]) for i, j, _ in cells]
    rules = [
        sum(q[where[i, j, y]] for j in range(n2) if on[i, j, y]) == p[i, :, y].sum()
        for i in range(n1)
        for y in range(k)
        if p[i, :, y].sum() > 0
    ]
    rules += [
        sum(q[where[i, j, y]] for i in range(n1) if on[i, j, y]) == p[:, j, y].sum()
        for j in range(n2)
        for y in range(k)
        if p[:, j, y].sum() > 0
    ]
    problem = cp.Problem(cp.Minimize(cp.sum(cp.rel_entr(q, cp.hstack(sums)))), rules)
    with warnings.catch_warnings():  # CVXPY says so when it stops a little short of its own tolerance
        warnings.filterwarnings("ignore", message="Solution may be inaccurate")
        problem.solve(solver="CLARABEL")
    py = p.sum((0, 1))
    return float(problem.value / np.log(2) - (py[py > 0] * np.log2(py[py > 0])).sum())


@pytest.mark.parametrize("table", list(random_tables(12)), ids=lambda t: "x".join(map(str, t.shape)))
def test_random_tables_agree_with_a_cone_solver(table):
    found = pid(table)
    least = found.redundancy + found.unique_1 + found.unique_2
    assert least == pytest.approx(with_cvxpy(table), abs=1e-5)


def test_the_identities_hold_and_no_part_is_negative():
    for table in random_tables():
        found = pid(table)
        assert found.information_1 == pytest.approx(mutual_information(table.sum(1)), abs=1e-12)
        assert found.information_2 == pytest.approx(mutual_information(table.sum(0)), abs=1e-12)
        joint = mutual_information(table.reshape(-1, table.shape[2]))
        assert found.information == pytest.approx(joint, abs=1e-12)
        assert parts(found).min() >= 0.0
        assert 0.0 <= found.gap <= 1e-8


def test_swapping_the_sources_swaps_their_parts():
    for table in random_tables(12, seed=2):
        turned = parts(pid(np.swapaxes(table, 0, 1)))
        assert parts(pid(table)) == pytest.approx(turned[[0, 2, 1, 3]], abs=BITS)


def test_empty_states_and_the_total_do_not_matter():
    table = next(random_tables(1))
    wide = np.zeros(tuple(side + 2 for side in table.shape))
    wide[1:-1, 1:-1, 1:-1] = 37.0 * table
    assert parts(pid(wide)) == pytest.approx(parts(pid(table)), abs=BITS)


def test_a_noisy_copy_has_nothing_unique():
    rng = np.random.default_rng(5)
    joint, noise = rng.dirichlet(np.ones(12)).reshape(4, 3), rng.dirichlet(np.ones(5), size=4)
    table = joint[:, None, :] * noise[:, :, None]  # x2 depends on x1 alone
    assert pid(table).unique_2 == pytest.approx(0.0, abs=BITS)
    assert pid(table).synergy == pytest.approx(0.0, abs=BITS)


def test_two_classes_by_exhaustion():
    """2 x 2 x 2: q has one free number per class, so a grid finds the least information."""
    rng = np.random.default_rng(6)
    for _ in range(4):
        p = rng.dirichlet(np.ones(8)).reshape(2, 2, 2)
        step = np.array([[1.0, -1.0], [-1.0, 1.0]])
        ranges = [
            np.linspace(-min(p[0, 0, y], p[1, 1, y]), min(p[0, 1, y], p[1, 0, y]), 401) for y in range(2)
        ]
        moves = np.array(list(itertools.product(*ranges)))
        q = p + step[:, :, None] * moves[:, None, None, :]
        least = mutual_information(np.maximum(q, 0).reshape(len(q), 4, 2)).min()
        found = pid(p)
        total = found.redundancy + found.unique_1 + found.unique_2
        assert total <= least + 1e-8
        assert total == pytest.approx(least, abs=1e-4)


def test_a_stack_equals_one_by_one():
    rng = np.random.default_rng(7)
    tables = rng.multinomial(50, rng.dirichlet(np.ones(24)), size=20).reshape(20, 3, 4, 2)
    stack = pid_stack(tables)
    for i, table in enumerate(tables):
        assert parts(stack[i]) == pytest.approx(parts(pid(table)), abs=2e-8)


def test_large_systems_take_the_other_path_to_the_same_result(monkeypatch):
    table = next(random_tables(1, seed=9))
    plain = parts(pid(table))
    monkeypatch.setattr(pid_newton, "_STACKED", 0)
    assert parts(pid(table)) == pytest.approx(plain, abs=2e-8)


def test_the_barrier_alone_reaches_the_same_result(monkeypatch):
    tables = list(random_tables(6, seed=12))
    plain = [parts(pid(table)) for table in tables]
    monkeypatch.setattr(pid_solver, "_STEPS", 0)
    for table, expected in zip(tables, plain, strict=True):
        found = pid(table, tolerance=1e-7)
        assert found.gap <= 1e-6
        assert parts(found) == pytest.approx(expected, abs=1e-6)


def test_masses_of_many_orders_of_magnitude_are_solved_or_refused():
    """Never a wrong answer: the gap that is reported bounds the error, or the table is refused."""
    rng, solved, refusals = np.random.default_rng(13), 0, []
    for _ in range(40):
        table = rng.dirichlet(np.full(12, 0.08)).reshape(2, 3, 2)
        try:
            found = pid(table)
        except LabError as refused:
            refusals.append(str(refused))
            continue
        solved += 1
        assert found.gap <= 1e-6
        assert parts(found).min() >= 0.0
    assert solved >= 36
    assert all("could not be solved" in words for words in refusals)


def test_the_minimiser_keeps_both_marginals():
    rng = np.random.default_rng(10)
    p = rng.dirichlet(np.ones(60)).reshape(1, 4, 5, 3)
    found = pid_solver.solve(p, tolerance=1e-9)
    assert found.q.sum(2) == pytest.approx(p.sum(2), abs=1e-15)
    assert found.q.sum(1) == pytest.approx(p.sum(1), abs=1e-15)
    assert found.q.min() >= 0.0
    assert found.steps < 20


def test_counts_from_columns():
    table = table_of([0, 0, 1, 1], [0, 1, 1, 1], [0, 1, 0, 0])
    assert table.shape == (2, 2, 2)
    assert table[1, 1, 0] == 2.0
    assert table.sum() == 4.0


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (np.ones((2, 2)), "table = (2, 2): must have three axes"),
        (np.zeros((2, 2, 2)), "must hold at least one sample"),
        (-np.ones((2, 2, 2)), "table = -1.0"),
        (np.full((2, 2, 2), np.nan), "not negative"),
    ],
)
def test_a_wrong_table_is_refused(table, words):
    with pytest.raises(LabError) as caught:
        pid(table)
    assert words in str(caught.value)


def test_unpaired_columns_are_refused():
    with pytest.raises(LabError, match=r"x1, x2, y = \[2, 3, 2\]: must be paired"):
        table_of([0, 1], [0, 1, 1], [0, 1])
    with pytest.raises(LabError, match="x1 = dtype"):
        table_of([0.5, 1.0], [0, 1], [0, 1])
    with pytest.raises(LabError, match="x2 = -1"):
        table_of([0, 1], [-1, 1], [0, 1])
