/**
 * What must hold in every cluster at all times, or once it is quiet: predicates for tests and the
 * simulator. Each one says what is wrong, or nothing.
 *
 * @module
 */
import type { Claim } from "./claim.ts"
import * as Claims from "./claim.ts"
import * as Cluster from "./cluster.ts"
import * as Groups from "./groups.ts"
import type { Event } from "./member.ts"
import * as Membership from "./membership.ts"
import { observersOf } from "./observers.ts"
import type { Entry } from "./registry.ts"
import * as Registry from "./registry.ts"
import * as Ring from "./ring.ts"
import * as Rings from "./rings.ts"
import type { State } from "./roster.ts"
import { quorumOf } from "./suspicion.ts"

// --- membership ----------------------------------------------------------------------------------

/** What one node's user has seen of one name, and the claims behind it. */
interface Seen {
  up: boolean
  suspect: boolean
  epoch: number
  incarnation: number
  leftEpoch: number
}

/** What one node has shown so far, to check what it shows next. */
export interface History {
  readonly names: Map<string, Seen>
  readonly claims: Map<string, Claim>
  ended: boolean
}

/** Nothing has been seen yet. */
export function history(): History {
  return { names: new Map(), claims: new Map(), ended: false }
}

/**
 * Events of one name alternate between `Up` and one of its ends, with `Suspect`, `Refuted` and
 * `Changed` in between; (epoch, incarnation) rises from `Up` to `Up`; what has left stays away.
 */
export function ordered(history: History, event: Event): string | undefined {
  if (history.ended) return `${event._tag} after the end`
  if (event._tag === "LeaveDone" || event._tag === "NameConflict") history.ended = true
  if (!("name" in event) || event._tag === "Refused") return undefined
  const { name } = event
  const before = history.names.get(name)
  const wrong = before === undefined ? unseen(event) : unfit(before, event)
  if (wrong !== undefined) return `${event._tag} of ${name}: ${wrong}`
  history.names.set(name, after(before, event))
  return undefined
}

type Named = Exclude<Extract<Event, { readonly name: string }>, { readonly _tag: "Refused" }>

function unseen(event: Named): string | undefined {
  return event._tag === "Up" ? undefined : "it was never up"
}

function unfit(seen: Seen, event: Named): string | undefined {
  switch (event._tag) {
    case "Up":
      if (seen.up) return "it is up already"
      if (event.epoch <= seen.leftEpoch) return `epoch ${event.epoch} has left`
      return event.epoch > seen.epoch ||
        (event.epoch === seen.epoch && event.incarnation > seen.incarnation)
        ? undefined
        : `(${event.epoch}, ${event.incarnation}) after (${seen.epoch}, ${seen.incarnation})`
    case "Changed":
      return seen.up && event.epoch === seen.epoch ? undefined : "that one isn't up"
    case "Suspect":
      return seen.up && !seen.suspect ? undefined : "it isn't up, or suspect already"
    case "Refuted":
      return seen.up && seen.suspect ? undefined : "it isn't suspect"
    default:
      return seen.up && event.epoch === seen.epoch ? undefined : "that one isn't up"
  }
}

function after(before: Seen | undefined, event: Named): Seen {
  if (event._tag === "Up") {
    const { epoch, incarnation } = event
    return { up: true, suspect: false, epoch, incarnation, leftEpoch: before?.leftEpoch ?? 0 }
  }
  if (before === undefined) throw new Error("BUG: an event of a name that wasn't seen")
  if (event._tag === "Changed") return { ...before, incarnation: event.incarnation }
  if (event._tag === "Suspect") return { ...before, suspect: true }
  if (event._tag === "Refuted") return { ...before, suspect: false }
  const leftEpoch = event._tag === "Left" ? event.epoch : before.leftEpoch
  return { ...before, up: false, suspect: false, leftEpoch }
}

/** No claim is ever less than the one before, nor something that its sets may not be. */
export function rising(history: History, state: State): string | undefined {
  for (const claim of Membership.claims(state)) {
    const before = history.claims.get(claim.name)
    if (before === claim) continue
    const version = `${claim.name} (${claim.epoch}, ${claim.incarnation}, ${claim.rank})`
    if (!Claims.valid(claim)) return `${version} isn't valid`
    if (before !== undefined) {
      const order = Claims.compareVersions(claim, before)
      if (order < 0 || (order === 0 && claim.rank < before.rank)) {
        return `${version} after (${before.epoch}, ${before.incarnation}, ${before.rank})`
      }
    }
    history.claims.set(claim.name, claim)
  }
  return undefined
}

/** A node that isn't at its end acts by itself later than now, or never. */
export function awake(state: State, now: number): string | undefined {
  const at = Membership.wakeAt(state)
  return at > now ? undefined : `would wake at ${at}, it is ${now}`
}

/**
 * A member that just went down was accused by a quorum and got its time, or was the word of somebody
 * else and hadn't been heard from. `name` went down in the last step; not for users that part.
 */
export function justified(state: State, name: string): string | undefined {
  const peer = state.peers.get(name)
  if (peer === undefined || peer.claim.rank !== Claims.DEAD) return `${name} is down and not dead`
  const { suspicionMillis, hardGraceMillis } = state.options.timing
  const view = [state.self.name, ...state.view.map((other) => other.name)]
  const observers = observersOf(view, name)
  const trusted = observers.filter(
    (other) => other === state.self.name || state.peers.get(other)?.claim.rank === Claims.ALIVE,
  )
  const of = (names: ReadonlyArray<string>): number =>
    names.filter((other) => trusted.includes(other)).length
  const quorum = quorumOf(trusted.length)
  const { accusers, hard } = peer.claim
  const past = (since: number, millis: number): boolean => since + millis <= state.now
  if (of(accusers) >= quorum && past(peer.accusedAt, suspicionMillis)) return undefined
  const some = accusers.length >= Math.min(2, trusted.length)
  if (some && past(peer.accusedAt, 6 * suspicionMillis)) return undefined
  if (of(hard) >= quorum && past(peer.hardAt, hardGraceMillis)) return undefined
  if (past(peer.heardAt, suspicionMillis)) return undefined
  const since = state.now - peer.accusedAt
  return `${name} is down by ${accusers.join()} of ${trusted.join()} after ${since} ms`
}

/** Once it is quiet: each of these nodes sees exactly these, all alive, and linked. */
export function agreed(states: ReadonlyArray<State>): string | undefined {
  const names = states.map((state) => state.self.name).sort(Claims.compare)
  for (const state of states) {
    const members = Membership.members(state).filter(
      ({ status }) => status === "alive" || status === "suspect",
    )
    const seen = members.map(({ name, status, connected }) =>
      status === "alive" && connected ? name : `${name} (${connected ? status : "no link"})`,
    )
    if (seen.join() !== names.join()) return `${state.self.name} sees ${seen.join()}`
    if (Membership.viewHash(state) !== Membership.viewHash(states[0] as State)) {
      return `the hash of ${state.self.name}'s view differs`
    }
  }
  return undefined
}

// --- names and their places ----------------------------------------------------------------------

/** The best claim of every name stands first, one per owner, each by an owner that is up. */
export function ranked(state: Registry.State): string | undefined {
  for (const [name, head] of state.index) {
    const owners = new Set<string>()
    for (let entry: Entry | undefined = head; entry !== undefined; entry = entry.next) {
      const { table, next } = entry
      if (entry.name !== name) return `${entry.name} among the claims of ${name}`
      if (owners.has(table.owner)) return `${table.owner} claims ${name} twice`
      if (state.tables.get(table.owner) !== table) return `${name} is of a former ${table.owner}`
      if (table.hidden !== undefined) return `${name} is of ${table.owner}, which is down`
      if (next !== undefined && !Registry.beats(state.policy, entry, next))
        return `${table.owner} stands before ${next.table.owner} for ${name}`
      owners.add(table.owner)
    }
  }
  return undefined
}

/**
 * Once it is quiet: everybody has the same server for every name, with the same metadata, the same holder of
 * every slot, and the same members in every group, in the same order.
 */
export function unanimous(states: ReadonlyArray<Registry.State>): string | undefined {
  const first = states[0]
  if (first === undefined) return undefined
  const these = facts(first)
  for (const state of states) {
    const those = facts(state)
    for (const key of new Set([...these.keys(), ...those.keys()])) {
      const [one, other] = [these.get(key) ?? "nobody", those.get(key) ?? "nobody"]
      if (one !== other)
        return `${key} is with ${one} for ${first.name}, with ${other} for ${state.name}`
    }
  }
  return undefined
}

/** What a registry says of every name, slot and group. */
function facts({ index, grants, groups }: Registry.State): ReadonlyMap<string, string> {
  const all = new Map<string, string>()
  for (const [name, { table, generation, props, sticky }] of index) {
    const more = `${sticky ? ", sticky" : ""}${props === undefined ? "" : `, ${text(props)}`}`
    all.set(name, `${table.owner} (${generation}${more})`)
  }
  for (const [slot, { table, generation }] of grants)
    all.set(`slot ${slot}`, `${table.owner} (${generation})`)
  for (const group of Groups.all(groups))
    all.set(`group ${group}`, Groups.members(groups, group).map(member).join(" "))
  return all
}

function text({ version, bytes }: Registry.Props): string {
  return `${version}: ${bytes.join()}`
}

function member({ table, pid, name, time, online, meta }: Groups.Membership): string {
  return `${table.owner}/${pid} (${name}, ${time}, ${online ? "on" : "off"}, ${meta?.join() ?? "-"})`
}

const NONE: ReadonlySet<number> = new Set()

/**
 * Once it is quiet: every placed name of a node has a supervisor that the node hosts, and is its own by that
 * one's ring, unless it is sticky or of a supervisor (by number) whose names move only when their node leaves.
 */
export function placed(
  registry: Registry.State,
  rings: Rings.Rings,
  passive: ReadonlySet<number> = NONE,
): string | undefined {
  for (const name of Registry.ownNames(registry)) {
    if (!Registry.placed(name)) continue
    const supervisor = Rings.supervisorOf(name)
    if (!Ring.has(Rings.of(rings, supervisor), registry.name))
      return `${name} is with ${registry.name}, which doesn't host "${supervisor}"`
    if (passive.has(Rings.number(supervisor)) || Registry.lookup(registry, name)?.sticky) continue
    const owner = Rings.owner(rings, name)
    if (owner !== registry.name) return `${name} is with ${registry.name}, not with ${owner}`
    const holder = Registry.grant(registry, Rings.slot(name))?.table.owner
    if (holder !== registry.name) return `the slot of ${name} is with ${holder}`
  }
  return undefined
}

// --- whole nodes ---------------------------------------------------------------------------------

/** The members that a node counts as living, itself included, by name. */
export function living(state: Cluster.State): ReadonlyArray<string> {
  return Membership.members(state.membership)
    .filter(({ status }) => status === "alive" || status === "suspect")
    .map(({ name }) => name)
}

/**
 * Whether these nodes see each other and nobody else, have the same registry, agree on the ring and have
 * nothing on the move: what isn't so.
 */
export function calm(states: ReadonlyArray<Cluster.State>): string | undefined {
  const first = states[0]
  if (first === undefined) return undefined
  const names = states.map(({ registry }) => registry.name).sort(Claims.compare)
  const digest = Registry.digest(first.registry)
  for (const state of states) {
    const { name } = state.registry
    const seen = living(state)
    if (seen.join() !== names.join())
      return `${name} sees ${seen.join(" ")}, not ${names.join(" ")}`
    if (state.joinBy !== undefined) return `${name} is still joining`
    if (!Cluster.quiet(state)) return `${name} waits for others, or has names on the move`
    if (ringOf(state) !== ringOf(first))
      return `${name} and ${first.registry.name} compute with different rings`
    if (Registry.digest(state.registry) !== digest)
      return `${name} and ${first.registry.name} have different registries`
  }
  return undefined
}

/**
 * The groups of nodes each of which sees exactly its own group, agrees with it on the ring, and has nothing
 * on the move: the settled components of the cluster.
 */
export function components(
  states: ReadonlyArray<Cluster.State>,
): ReadonlyArray<ReadonlyArray<Cluster.State>> {
  const groups = new Map<string, Array<Cluster.State>>()
  for (const state of states) {
    if (state.joinBy !== undefined || !Cluster.quiet(state)) continue
    const key = `${living(state).join()} ${ringOf(state)}`
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [state])
    else group.push(state)
  }
  return [...groups].flatMap(([key, group]) => {
    const names = group.map(({ registry }) => registry.name).sort(Claims.compare)
    return names.join() === key.slice(0, key.indexOf(" ")) ? [group] : []
  })
}

/** The same for nodes that compute with the same ring. */
function ringOf({ supervision }: Cluster.State): number {
  return Rings.signature(supervision.rings)
}
