import type { Claim, Phase } from "./claim.ts"
export interface Timing { readonly x: number }
export const lan: Timing = { x: 1 }
export const local: Timing = { x: 1 }
export const wan: Timing = { x: 1 }
export interface Options { readonly name: string; readonly epoch: number; readonly instance: number; readonly address: string; readonly weight: number; readonly roles: ReadonlyArray<string>; readonly seeds: ReadonlyArray<string>; readonly random: number; readonly timing: Timing; readonly membersMax: number }
export type Message =
  | { readonly _tag: "Ping"; readonly seq: number; readonly view: number; readonly digest: number }
  | { readonly _tag: "Ack"; readonly seq: number; readonly view: number; readonly digest: number }
  | { readonly _tag: "PingRequest"; readonly seq: number; readonly target: string }
  | { readonly _tag: "PingReply"; readonly seq: number; readonly target: string; readonly ok: boolean }
  | { readonly _tag: "Claims"; readonly claims: ReadonlyArray<Claim>; readonly full: boolean }
  | { readonly _tag: "LeftAck"; readonly epoch: number }
  | { readonly _tag: "Bye" }
export type Input =
  | { readonly _tag: "Tick"; readonly now: number }
  | { readonly _tag: "LinkUp"; readonly now: number; readonly peer: string; readonly epoch: number; readonly address: string }
  | { readonly _tag: "LinkDown"; readonly now: number; readonly peer: string; readonly epoch: number; readonly reason: "closed" | "reset" | "timeout" }
  | { readonly _tag: "DialFailed"; readonly now: number; readonly address: string; readonly reason: string }
  | { readonly _tag: "Message"; readonly now: number; readonly from: string; readonly message: Message }
  | { readonly _tag: "Heard"; readonly now: number; readonly peers: ReadonlyArray<string> }
  | { readonly _tag: "Digest"; readonly now: number; readonly digest: number }
  | { readonly _tag: "Synced"; readonly now: number }
  | { readonly _tag: "Leave"; readonly now: number }
  | { readonly _tag: "Drained"; readonly now: number }
  | { readonly _tag: "Connect"; readonly now: number; readonly addresses: ReadonlyArray<string> }
  | { readonly _tag: "Disconnect"; readonly now: number; readonly peer: string }
  | { readonly _tag: "Superseded"; readonly now: number; readonly epoch: number; readonly instance: number }
export type Event =
  | { readonly _tag: "Up" | "Changed"; readonly name: string; readonly epoch: number; readonly incarnation: number; readonly phase: Phase; readonly address: string; readonly weight: number; readonly roles: ReadonlyArray<string> }
  | { readonly _tag: "Suspect" | "Refuted"; readonly name: string }
  | { readonly _tag: "Down"; readonly name: string; readonly epoch: number; readonly reason: string }
  | { readonly _tag: "Left" | "Superseded"; readonly name: string; readonly epoch: number }
  | { readonly _tag: "EpochChanged"; readonly epoch: number }
  | { readonly _tag: "Slept"; readonly millis: number }
  | { readonly _tag: "Isolated" }
  | { readonly _tag: "NameConflict"; readonly epoch: number; readonly instance: number }
  | { readonly _tag: "LeaveDone" }
export type Output =
  | { readonly _tag: "Send"; readonly to: string; readonly message: Message }
  | { readonly _tag: "Dial"; readonly address: string; readonly peer: string | undefined }
  | { readonly _tag: "Close"; readonly peer: string; readonly reason: string }
  | { readonly _tag: "Event"; readonly event: Event }
  | { readonly _tag: "PeerDigest"; readonly peer: string; readonly digest: number }
export interface State { o: Options; me: Claim; claims: Map<string, Claim>; links: Set<string>; up: Map<string, string>; todo: Set<string>; wake: number; down: Map<string, number> }
export interface Member { readonly name: string; readonly epoch: number; readonly incarnation: number; readonly phase: Phase; readonly address: string; readonly weight: number; readonly roles: ReadonlyArray<string>; readonly status: "alive" | "suspect" | "dead" | "left"; readonly connected: boolean; readonly rttMillis: number | undefined }
type Step = { readonly state: State; readonly outputs: ReadonlyArray<Output> }
export function init(o: Options, now: number): Step {
  const me: Claim = { name: o.name, epoch: o.epoch, incarnation: 0, rank: 0, accusers: [], hard: [], phase: "joining", address: o.address, instance: o.instance, weight: o.weight, roles: o.roles }
  const state: State = { o, me, claims: new Map(), links: new Set(), up: new Map(), todo: new Set(o.seeds), wake: now + 50, down: new Map() }
  return { state, outputs: o.seeds.map((address) => ({ _tag: "Dial", address, peer: undefined })) }
}
const better = (a: Claim, b: Claim | undefined): boolean => b === undefined || a.epoch > b.epoch || (a.epoch === b.epoch && (a.incarnation > b.incarnation || (a.incarnation === b.incarnation && a.rank > b.rank)))
export function step(s: State, i: Input): Step {
  const out: Output[] = []
  const ev = (event: Event): void => void out.push({ _tag: "Event", event })
  const all = (message: Message): void => { for (const to of s.links) out.push({ _tag: "Send", to, message }) }
  const tell = (): void => all({ _tag: "Claims", claims: [s.me, ...s.claims.values()], full: false })
  const learn = (c: Claim): boolean => {
    if (c.name === s.me.name) { if (c.rank > 0 && c.epoch === s.me.epoch && c.incarnation >= s.me.incarnation && s.me.rank === 0) { s.me = { ...s.me, incarnation: c.incarnation + 1 }; return true } return false }
    const b = s.claims.get(c.name)
    if (!better(c, b)) return false
    s.claims.set(c.name, c)
    const wasUp = b !== undefined && b.rank < 2, isUp = c.rank < 2
    if (wasUp && b.epoch < c.epoch) ev({ _tag: "Superseded", name: b.name, epoch: b.epoch })
    if (isUp && (!wasUp || b.epoch < c.epoch)) { ev({ _tag: "Up", ...c }); if (!s.links.has(c.name)) out.push({ _tag: "Dial", address: c.address, peer: c.name }) }
    else if (isUp) ev({ _tag: "Changed", ...c })
    else if (wasUp) ev(c.rank === 3 ? { _tag: "Left", name: c.name, epoch: c.epoch } : { _tag: "Down", name: c.name, epoch: c.epoch, reason: "refused" })
    if (c.rank === 3) out.push({ _tag: "Close", peer: c.name, reason: "left" })
    return true
  }
  switch (i._tag) {
    case "LinkUp": s.links.add(i.peer); s.todo.delete(i.address); s.down.delete(i.peer); { const b = s.claims.get(i.peer); if (b && b.rank === 2 && b.epoch === i.epoch) { } } out.push({ _tag: "Send", to: i.peer, message: { _tag: "Claims", claims: [s.me, ...s.claims.values()], full: true } }); break
    case "LinkDown": s.links.delete(i.peer); { const c = s.claims.get(i.peer); if (c && c.rank < 2 && c.epoch === i.epoch) { s.down.set(i.peer, i.now + 200); out.push({ _tag: "Dial", address: c.address, peer: c.name }) } } break
    case "Message": if (i.message._tag === "Claims") { let ch = false; for (const c of i.message.claims) ch = learn(c) || ch; if (ch) tell() } else if (i.message._tag === "Bye") { const c = s.claims.get(i.from); if (c) learn({ ...c, rank: 2 }) } break
    case "Synced": s.me = { ...s.me, phase: "up", incarnation: s.me.incarnation + 1 }; tell(); break
    case "Leave": s.me = { ...s.me, phase: "leaving", incarnation: s.me.incarnation + 1 }; tell(); break
    case "Drained": s.me = { ...s.me, rank: 3 }; tell(); ev({ _tag: "LeaveDone" }); break
    case "Connect": for (const address of i.addresses) { s.todo.add(address); out.push({ _tag: "Dial", address, peer: undefined }) } break
    case "Disconnect": { const c = s.claims.get(i.peer); out.push({ _tag: "Send", to: i.peer, message: { _tag: "Bye" } }); if (c) ev({ _tag: "Down", name: c.name, epoch: c.epoch, reason: "disconnected" }); out.push({ _tag: "Close", peer: i.peer, reason: "x" }) } break
    case "Tick":
      if (i.now >= s.wake) { s.wake = i.now + 100; for (const address of s.todo) out.push({ _tag: "Dial", address, peer: undefined })
        for (const [n, at] of [...s.down]) if (i.now >= at) { s.down.delete(n); const c = s.claims.get(n); if (c && !s.links.has(n)) { learn({ ...c, rank: 2 }); tell() } } }
      break
    default: break
  }
  return { state: s, outputs: out }
}
export function wakeAt(s: State): number { return s.wake }
export function members(s: State): ReadonlyArray<Member> {
  const status = ["alive", "suspect", "dead", "left"] as const
  return [s.me, ...s.claims.values()].map((c) => ({ ...c, status: status[c.rank] as Member["status"], connected: s.links.has(c.name), rttMillis: undefined })).sort((a, b) => (a.name < b.name ? -1 : 1))
}
export function self(s: State): Member { return members(s).find((m) => m.name === s.me.name) as Member }
export function viewHash(): number { return 0 }
