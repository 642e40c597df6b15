/**
 * What the membership makes of links that come up, end, or are to be ended.
 *
 * @module
 */
import * as Bus from "./bus.ts"
import * as Claims from "./claim.ts"
import * as Contact from "./contact.ts"
import * as Detour from "./detour.ts"
import type { Input } from "./member.ts"
import * as Parting from "./parting.ts"
import type { At } from "./roster.ts"
import * as Rtt from "./rtt.ts"

/** A link is up; it replaces the one before. */
export function up(at: At, input: Extract<Input, { readonly _tag: "LinkUp" }>): void {
  const { state, now } = at
  const { peer: name, epoch, address, dialled, medium = "own" } = input
  const greetAt = now + state.options.timing.probeMillis
  if (!Claims.isName(name) || name === state.self.name || !Claims.isEpoch(epoch)) return
  if (typeof address !== "string") return
  if (dialled !== undefined) Contact.reached(state, dialled, address)
  if (!Parting.admits(at, name, epoch, dialled)) return
  state.links.set(name, {
    peer: name,
    cameWith: epoch,
    epoch,
    address,
    medium,
    answered: 0,
    rtt: Rtt.make(),
    differsAt: 0,
    differs: 0,
    missed: 0,
    greetAt,
    greeted: 0,
    full: true,
    asked: undefined,
  })
  state.owing = true
  state.greetAt = Math.min(state.greetAt, greetAt)
  const peer = state.peers.get(name)
  if (peer?.claim.epoch === epoch) peer.heardAt = now
  if (medium === "bus") Bus.joined(state, now)
  Contact.connected(at, name, address)
}

/** A link ended, with this epoch behind it. */
export function down(at: At, name: string, epoch: number, reason: string): void {
  const link = at.state.links.get(name)
  if (link === undefined || link.cameWith !== epoch) return Parting.ended(at, name, epoch, reason)
  at.state.links.delete(name)
  // The end of a way through others says nothing about who is at its end.
  const { medium } = link
  if (medium === "relay") Detour.failed(at, name)
  Contact.disconnected(at, name, medium === "relay" ? 0 : link.epoch)
}

/** Ends the links that the step has decided to end. */
export function close(at: At): void {
  const { state } = at
  if (state.closing.size === 0) return
  for (const peer of [...state.closing.keys()].sort(Claims.compare)) {
    if (!state.links.delete(peer)) continue
    at.outputs.push({ _tag: "Close", peer, reason: state.closing.get(peer) ?? "" })
    state.contactsChanged = true
  }
  state.closing.clear()
}
