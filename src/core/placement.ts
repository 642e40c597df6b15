/**
 * Who may start names in a slot: the state of a supervisor, what it says and is asked, and its answer
 * to a start. The right is a grant in the registry table of its holder; a first one is written only when
 * the ring is settled.
 *
 * @module
 */
import * as Registry from "./registry.ts"
import * as Rings from "./rings.ts"

/** When the machine acts, in milliseconds. */
export interface Timing {
  /** A loss of members changes the ring after this long, a gain after `upMillis`: one change a burst. */
  readonly downMillis: number
  readonly upMillis: number
  /** When some member doesn't confirm the ring, go on without its word after this long. */
  readonly settleMaxMillis: number
  /** An uncommitted move is given up after this long, and tried again `retryMillis` later. */
  readonly moveMaxMillis: number
  readonly retryMillis: number
  /** A state that was installed and never committed is dropped after this long. */
  readonly standbyMaxMillis: number
  /** A leaving node gives up on what it couldn't hand over after this long. */
  readonly leaveMaxMillis: number
}

/** Messages between the supervisors of two nodes. */
export type Message =
  /** How far I am with the ring that I compute with (see `words`); with `ask`, tell me yours. */
  | { readonly _tag: "Settle"; readonly signature: number; readonly ask: boolean }
  | { readonly _tag: "Offer"; readonly slot: number; readonly generation: number }
  | { readonly _tag: "Accept"; readonly slot: number; readonly generation: number }
  | { readonly _tag: "Refuse"; readonly slot: number; readonly generation: number }
  | { readonly _tag: "Cancel"; readonly slot: number; readonly generation: number }
  | { readonly _tag: "Installed"; readonly slot: number; readonly generation: number }
  | { readonly _tag: "Commit"; readonly slot: number; readonly generation: number }
  | { readonly _tag: "Drained"; readonly slot: number; readonly generation: number }
  | { readonly _tag: "Done"; readonly slot: number; readonly generation: number }
  /** Names of dead nodes that you are the heir of, and the generation of their slot's last grant. */
  | {
      readonly _tag: "Orphans"
      readonly slot: number
      readonly generation: number
      readonly names: ReadonlyArray<Orphan>
    }

/** A name to start again from its recorded registration. */
export interface Orphan {
  readonly name: string
  readonly generation: number
  readonly meta: Uint8Array | undefined
  readonly props?: Registry.Props | undefined
  readonly sticky?: boolean
}

/** What a supervisor asks of the world. Outputs are to be carried out in their order. */
export type Output =
  | { readonly _tag: "Send"; readonly to: string; readonly message: Message }
  /** What a grant or a name that this machine wrote brought about in the registry. */
  | { readonly _tag: "Registry"; readonly output: Registry.Output }
  | {
      readonly _tag: "Granted"
      readonly id: number
      readonly slot: number
      readonly generation: number
    }
  | { readonly _tag: "Forward"; readonly id: number; readonly to: string }
  | { readonly _tag: "Denied"; readonly id: number }
  /** Finish the message in hand, queue the rest, capture the states, send them to `to`. */
  | {
      readonly _tag: "Freeze"
      readonly slot: number
      readonly generation: number
      readonly to: string
      readonly names: ReadonlyArray<string>
      readonly leaving: boolean
    }
  /** The move is off: serve again. */
  | { readonly _tag: "Thaw"; readonly slot: number }
  /** From here on the other node serves: forward what is queued, keep the state until Forget. */
  | {
      readonly _tag: "Depart"
      readonly slot: number
      readonly to: string
      readonly names: ReadonlyArray<string>
    }
  /** The new owner died before it said that it serves: serve again, with this generation. */
  | { readonly _tag: "Revive"; readonly slot: number; readonly generation: number }
  | { readonly _tag: "Forget"; readonly slot: number }
  /** Serve what was installed; until Open, only what the old owner forwards. */
  | {
      readonly _tag: "Activate"
      readonly slot: number
      readonly generation: number
      readonly from: string
    }
  | { readonly _tag: "Open"; readonly slot: number }
  | { readonly _tag: "Discard"; readonly slot: number }
  /** Start these again, and say Started for each one's slot when it is registered, or won't be. */
  | { readonly _tag: "Takeover"; readonly from: string; readonly orphans: ReadonlyArray<Orphan> }
  | { readonly _tag: "RingChanged"; readonly members: ReadonlyArray<string> }
  | { readonly _tag: "Settled" }
  /** A leaving node has handed everything over, or given up on it. */
  | { readonly _tag: "Drained"; readonly left: number }

/** A slot on its way out. */
export interface Outgoing {
  readonly to: string
  readonly generation: number
  readonly stage: "offered" | "frozen" | "sent" | "committed"
  readonly names: ReadonlyArray<string>
  /** When to give up, or after the commit, when to repeat it. */
  readonly at: number
}

/** A slot on its way in. */
export interface Incoming {
  readonly from: string
  readonly generation: number
  /** `left`: installed, and the node that sent it is gone. */
  readonly stage: "accepted" | "installed" | "left" | "active"
  /** The link was lost since: the old owner has to say that it stands by the move. */
  readonly doubtful: boolean
  readonly at: number
}

/** The supervisor of one node. */
export interface State {
  readonly name: string
  readonly timing: Timing
  /** The supervisors, by number, whose names move only when their node leaves. */
  readonly passive: ReadonlySet<number>
  rings: Rings.Rings
  /** Members that are leaving: out of the ring, but what they still hold or hand over counts. */
  witnesses: ReadonlyArray<string>
  /** The members of the next ring, and when it comes into force. */
  next: { readonly members: ReadonlyArray<Rings.Host>; readonly at: number } | undefined
  /** Of this ring and the epochs of its members: equal where everybody means the same nodes. */
  signature: number
  /** My own epoch in that signature. */
  epoch: number
  /** The latest word of every node that there is a link to; NaN before the first. */
  readonly echoes: Map<string, number>
  /** When to look again whether operations have come that were missing to settle. */
  lookAt: number
  /** When to ask those again who haven't said that they agree. */
  remindAt: number
  /** Everybody computes with this ring: what its dead left behind can be taken over. */
  settled: boolean
  /** Everybody has: what nobody holds by now is free. */
  firm: boolean
  /** So they have: firm after a time limit alone is not sure. */
  sure: boolean
  changedAt: number
  readonly outgoing: Map<number, Outgoing>
  readonly incoming: Map<number, Incoming>
  /** Offers that came before this node had settled, by slot. */
  readonly offers: Map<number, { readonly from: string; readonly generation: number }>
  /** The generation with which I last got each slot, for old owners that haven't heard of it. */
  readonly arrived: Map<number, number>
  /** Slots still to be moved. */
  queue: Array<number>
  /** When moves are next looked through for those that take too long. */
  checkAt: number
  /** My placed names by slot, kept only while slots are on their way out. */
  names: Map<number, Set<string>> | undefined
  retryAt: number
  /** When something last changed for what dead nodes have left behind. */
  bereftAt: number
  /** What was told of orphans before this node had settled. */
  readonly told: Array<{
    readonly from: string
    readonly message: Extract<Message, { readonly _tag: "Orphans" }>
  }>
  /** Starts that wait for a decision, by slot. */
  readonly waiting: Map<number, Array<number>>
  /** Starts that were granted and aren't over, by slot. */
  readonly starting: Map<number, number>
  leaveBy: number
  drained: boolean
}

/** A step under way: what it works on, and what it has brought about so far. */
export interface At {
  readonly state: State
  readonly registry: Registry.State
  readonly now: number
  readonly outputs: Array<Output>
}

/** Says something to another supervisor. */
export function send(at: At, to: string, message: Message): void {
  at.outputs.push({ _tag: "Send", to, message })
}

/** Answers a start, or lets it wait until its slot is decided. */
export function decide(at: At, id: number, slot: number): void {
  const { state, outputs } = at
  const wait = (): void => {
    const ids = state.waiting.get(slot)
    if (ids === undefined) state.waiting.set(slot, [id])
    else ids.push(id)
  }
  if (!Rings.isSlot(slot)) {
    outputs.push({ _tag: "Denied", id })
    return
  }
  if (state.outgoing.has(slot)) return wait()
  const grant = Registry.grant(at.registry, slot)
  if (grant !== undefined && grant.table.owner !== state.name) {
    outputs.push({ _tag: "Forward", id, to: grant.table.owner })
    return
  }
  const incoming = state.incoming.get(slot)
  if (incoming !== undefined && incoming.stage !== "active") return wait()
  if (grant !== undefined) return allow(at, id, slot, grant.generation)
  // A dead holder's slot is about to be taken over, and not by the node that is asked for it first.
  if (Registry.orphanGrant(at.registry, slot) !== undefined) return wait()
  const owner = Rings.ownerOfSlot(state.rings, slot)
  if (owner === undefined) outputs.push({ _tag: "Denied", id })
  else if (owner !== state.name) outputs.push({ _tag: "Forward", id, to: owner })
  else if (!state.firm || state.next !== undefined) wait()
  else {
    write(at, slot, 1)
    allow(at, id, slot, 1)
  }
}

function allow(at: At, id: number, slot: number, generation: number): void {
  starting(at, slot)
  at.outputs.push({ _tag: "Granted", id, slot, generation })
}

/** A start in this slot is under way: the slot doesn't move before it is over. */
export function starting(at: At, slot: number): void {
  at.state.starting.set(slot, (at.state.starting.get(slot) ?? 0) + 1)
}

/** A granted start is over. */
export function started(at: At, slot: number): void {
  const left = (at.state.starting.get(slot) ?? 0) - 1
  if (left > 0) at.state.starting.set(slot, left)
  else at.state.starting.delete(slot)
}

/** Looks again at the starts that wait for this slot. */
export function reconsider(at: At, slot: number): void {
  const ids = at.state.waiting.get(slot)
  if (ids === undefined) return
  at.state.waiting.delete(slot)
  for (const id of ids) decide(at, id, slot)
}

/** Writes my grant of a slot. */
export function write(at: At, slot: number, generation: number): void {
  registry(at, { _tag: "Grant", slot, generation })
}

/** Tries again after a while what can't be done now, or wasn't known to be needed. */
export function retry(at: At): void {
  at.state.retryAt = Math.min(at.state.retryAt, at.now + at.state.timing.retryMillis)
}

/** Lets the registry do something, and passes on what follows from it. */
export function registry(at: At, input: Registry.Input): void {
  for (const output of Registry.step(at.registry, input).outputs) {
    at.outputs.push({ _tag: "Registry", output })
  }
}
