/**
 * Bugs that people might make in this library, one a mutant: the suites have to find each of them.
 *
 * What was tried besides, and does no harm, so that nothing can be found:
 * - An acknowledgement, or a helper's answer, counts for a later round than it was asked in. Each of them still
 *   proves that the process was there after it was asked; one that is dead is noticed a round later.
 * - A move is committed as soon as the state is sent. The commit follows the state on one link, so it still comes
 *   after it; where the link is lost both are, the new owner refuses the next commit, and the old one revives.
 * - The end of a link is told with the wrong epoch. Links tell the end of the one before ahead of the next one's
 *   beginning, so the epoch is a second lock on the same door.
 * - An answer of an earlier move of the slot to the same node counts. A move that was given up has left no state
 *   behind, and who refuses the next one is asked again.
 *
 * @module
 */
import type { Edit } from "./plant.ts"

/** One bug, and where it is found. */
export interface Mutant {
  readonly name: string
  /** What is wrong with it, as a sentence. */
  readonly what: string
  /** The name of the suite that finds it. */
  readonly suite: string
  readonly edits: ReadonlyArray<Edit>
  /** Changes that are no bug, but without which it would be met too rarely. */
  readonly besides?: ReadonlyArray<Edit>
  /** By which plans are drawn: chosen so that it is found soon. */
  readonly seed: number
}

/** Logs that are so short that replicas get snapshots all the time. */
export const shortLogs: Edit = edit("src/core/table.ts", "LOG_MAX = 4096", "LOG_MAX = 4")

/** No bug at all: nobody may find it. */
export const canary: Mutant = {
  name: "canary",
  what: "the same in other words",
  suite: "cores",
  edits: [edit("src/core/claim.ts", "claim.rank <= SUSPECT", "claim.rank < DEAD")],
  seed: 1,
}

const membership: ReadonlyArray<Mutant> = [
  {
    name: "no refutation",
    what: "who is accused of the incarnation that it has says nothing",
    suite: "cores",
    edits: [edit("src/core/identity.ts", "    raise(at, {})\n  } else if", "  } else if")],
    seed: 3,
  },
  {
    name: "helper lies",
    what: "a helper without a link to the one in question says that it was reached",
    suite: "cores",
    edits: [edit("src/core/probe.ts", "target === state.self.name)", "true)")],
    seed: 3,
  },
  {
    name: "last word counts",
    what: "of two claims of one version the rank that came last counts, not the worse one",
    suite: "cores",
    edits: [edit("src/core/claim.ts", "Math.max(a.rank, b.rank)", "b.rank")],
    seed: 2,
  },
  {
    name: "epoch ignored in claims",
    what: "who starts again is held against the incarnations that it had before",
    suite: "cores",
    edits: [edit("src/core/claim.ts", "compare(a.epoch, b.epoch) || ", "")],
    seed: 2,
  },
  {
    name: "silent after sleep",
    what: "who slept doesn't raise its incarnation",
    suite: "cores",
    edits: [edit("src/core/membership.ts", "  Identity.raise(at, {})\n", "")],
    seed: 4,
  },
  {
    name: "sure after sleep",
    what: "who slept goes on as if all that was agreed on before still held",
    suite: "cores",
    edits: [edit("src/core/supervision.ts", "Agreement.doubt(at)", "")],
    seed: 4,
  },
]

const registry: ReadonlyArray<Mutant> = [
  {
    name: "winner by arrival",
    what: "of two claims with one generation the one that came last wins",
    suite: "cores",
    edits: [
      edit(
        "src/core/rivals.ts",
        'if (a.time !== b.time) return policy === "newest" ? a.time > b.time : a.time < b.time\n' +
          "  return a.table.owner < b.table.owner",
        "return true",
      ),
    ],
    seed: 6,
  },
  {
    name: "stale rows",
    what: "a snapshot adds what is new, and what is gone stays",
    suite: "cores",
    edits: [
      edit("src/core/replication.ts", "if (!names.has(name))", "if (names.size < 0)"),
      edit("src/core/replication.ts", "if (!slots.has(slot))", "if (slots.size < 0)"),
    ],
    besides: [shortLogs],
    seed: 5,
  },
  {
    name: "gap",
    what: "a few operations that are missing aren't missed",
    suite: "cores",
    edits: [
      edit(
        "src/core/replication.ts",
        "message.from > table.seq + 1",
        "message.from > table.seq + 9",
      ),
    ],
    seed: 11,
  },
  {
    name: "twice",
    what: "operations that come again are applied again",
    suite: "cores",
    edits: [edit("src/core/replication.ts", "Math.max(0, table.seq + 1 - message.from)", "0")],
    seed: 4,
  },
  {
    name: "epoch ignored in tables",
    what: "who starts again has what it had registered before",
    suite: "cores",
    edits: [
      edit(
        "src/core/registry.ts",
        "table === undefined || table.epoch < epoch",
        "table === undefined",
      ),
    ],
    seed: 2,
  },
  {
    name: "dead not hidden",
    what: "the names of a member that is down stay where they were",
    suite: "cores",
    edits: [
      edit(
        "src/core/registry.ts",
        "  Hiding.hide(state, now, table, outputs)\n  state.mismatches",
        "  state.mismatches",
      ),
    ],
    seed: 4,
  },
  {
    name: "loser keeps claim",
    what: "who loses a name ends its process, and doesn't take its claim back",
    suite: "cores",
    edits: [
      edit(
        "src/core/ledger.ts",
        '  write(state, { _tag: "Delete", name: entry.name, reason: REASON.conflict }, outputs)\n',
        "",
      ),
    ],
    seed: 8,
  },
  {
    name: "members left behind",
    what: "processes of a member that is down are members of their groups still",
    suite: "cores",
    edits: [
      edit(
        "src/core/hiding.ts",
        "    Ledger.removeMember(state, table, group, pid, Ledger.REASON.down, outputs)\n",
        "    void [group, pid]\n",
      ),
    ],
    seed: 1,
  },
  {
    name: "metadata not in snapshots",
    what: "a snapshot of names whose metadata alone has changed changes nothing",
    suite: "cores",
    edits: [
      edit(
        "src/core/replication.ts",
        "    entry.time === op.time &&\n" +
          "    entry.props?.version === op.props?.version &&\n" +
          "    equal(entry.props?.bytes, op.props?.bytes)\n",
        "    entry.time === op.time\n",
      ),
    ],
    besides: [shortLogs],
    seed: 5,
  },
  {
    name: "loser lives",
    what: "who loses a name takes its claim back, and doesn't end its process",
    suite: "names",
    edits: [
      edit("src/runtime/processes/conflicts.ts", "names.left(cell, Registry.REASON.conflict)", ""),
    ],
    seed: 4,
  },
]

const supervision: ReadonlyArray<Mutant> = [
  {
    name: "another ring's word",
    what: "a member that has said anything is taken to agree with my ring",
    suite: "handover",
    edits: [
      edit(
        "src/core/agreement.ts",
        "if (echo !== one && echo !== other) return false",
        "if (echo === undefined || Number.isNaN(echo)) return false",
      ),
    ],
    seed: 10,
  },
  {
    name: "incomplete",
    what: "what the members have written needn't be here to decide",
    suite: "cores",
    edits: [
      edit("src/core/agreement.ts", "=> Registry.complete(", "=> true || Registry.complete("),
    ],
    seed: 12,
  },
  {
    name: "newcomer grants",
    what: "a slot that nobody has is granted without the agreement of all",
    suite: "handover",
    edits: [
      edit(
        "src/core/placement.ts",
        "!state.firm || state.next !== undefined",
        "state.next !== undefined",
      ),
    ],
    seed: 7,
  },
  {
    name: "takeover level",
    what: "who takes a name over has the generation of the dead",
    suite: "cores",
    edits: [
      edit("src/core/takeover.ts", "entry.generation + 1", "entry.generation"),
      edit("src/core/takeover.ts", "grant?.generation ?? 0) + 1", "grant?.generation ?? 0)"),
    ],
    seed: 4,
  },
  {
    name: "move level",
    what: "who gets a name has the generation of who gave it",
    suite: "handover",
    edits: [edit("src/core/departure.ts", "newest(at, grant) + 1", "newest(at, grant)")],
    seed: 2,
  },
  {
    name: "commit before install",
    what: "the old owner commits when its offer is accepted",
    suite: "handover",
    edits: [
      edit(
        "src/core/departure.ts",
        "to: move.to, names, leaving })",
        "to: move.to, names, leaving })\n    commit(at, slot, { ...move, names })",
      ),
    ],
    seed: 6,
  },
  {
    name: "serves before commit",
    what: "the new owner serves when it has installed the states",
    suite: "handover",
    edits: [
      edit(
        "src/core/arrival.ts",
        'Placement.send(at, move.from, { _tag: "Installed", slot, generation })',
        'Placement.send(at, move.from, { _tag: "Installed", slot, generation })\n' +
          "    activate(at, slot, move, generation)",
      ),
    ],
    seed: 2,
  },
  {
    name: "passive moves",
    what: "names move to nodes that join, though they are to stay",
    suite: "cores",
    edits: [
      edit(
        "src/core/departure.ts",
        "owner === state.name || (stays(state, slot) && !leaving)",
        "owner === state.name",
      ),
    ],
    seed: 1,
  },
  {
    name: "sticky moves",
    what: "names that stay at their node follow their slot",
    suite: "handover",
    edits: [
      edit(
        "src/core/departure.ts",
        "  if (state.leaveBy === Number.POSITIVE_INFINITY && Registry.lookup(registry, name)?.sticky) return\n",
        "",
      ),
      edit("src/core/departure.ts", "function put({ state, registry }: At,", "function put(_: At,"),
    ],
    seed: 1,
  },
  {
    name: "one ring for all",
    what: "a node takes part in the rings of supervisors that it doesn't host",
    suite: "handover",
    edits: [
      edit(
        "src/core/rings.ts",
        "  for (const member of sorted) {\n    for (const supervisor of member.hosts ?? DEFAULT) {",
        "  const every = sorted.flatMap(({ hosts }) => hosts ?? DEFAULT)\n" +
          "  for (const member of sorted) {\n    for (const supervisor of every) {",
      ),
    ],
    seed: 1,
  },
  {
    name: "more moves than needed",
    what: "the ring ranks members by their number: one that leaves changes the others'",
    suite: "handover",
    edits: [
      edit(
        "src/core/slots.ts",
        "const { id, weight } = members[index]!",
        `const { weight } = members[index]!\n    const id = String(index)`,
      ),
    ],
    seed: 4,
  },
]

const runtime: ReadonlyArray<Mutant> = [
  {
    name: "queue dropped",
    what: "what waits for a process when it departs isn't passed on",
    suite: "delivery",
    edits: [
      edit(
        "src/runtime/processes/mover.ts",
        "this.#router.depart(cell, waiting, to)",
        "this.#router.depart(cell, [], to)",
      ),
    ],
    seed: 2,
  },
]

/** All of them. */
export const mutants: ReadonlyArray<Mutant> = [
  ...membership,
  ...registry,
  ...supervision,
  ...runtime,
]

function edit(file: string, find: string, put: string): Edit {
  return { file, find, put }
}
