/**
 * The transport of simulated nodes: the port of `src/transport.ts` over a simulated network. Addresses are
 * names of hosts.
 *
 * @module
 */
import {
  AddressUnavailable,
  type Connection,
  type Handlers,
  PeerUnreachable,
  type Transport,
} from "../../transport.ts"
import * as Chance from "../world/chance.ts"
import type { Host } from "../world/host.ts"
import { Network } from "../world/network.ts"
import type { Packet } from "../world/packet.ts"
import type { End } from "../world/stream.ts"
import type { World } from "../world/world.ts"
import { speak } from "./words.ts"

const BITS = Chance.purpose("bits")

/** A network that carries bytes. */
export function network(world: World): Network<Uint8Array> {
  return new Network<Uint8Array>(world, {
    copy: (bytes) => bytes.slice(),
    corrupt: (bytes, packet) => flip(world, bytes, packet),
  })
}

/** How a host is connected. */
export interface Medium {
  /** Nobody can dial it. */
  readonly leaf: boolean
  /** The hosts that share a bus. */
  readonly bus: ReadonlySet<string>
}

const WIRED: Medium = { leaf: false, bus: new Set() }

/** The transport of one host. */
export function transport(
  net: Network<Uint8Array>,
  host: Host,
  { leaf, bus }: Medium = WIRED,
): Transport {
  const wire = (end: End<Uint8Array>, dialled: boolean): Wire =>
    new Wire(net, end, dialled, bus.has(host.name) && bus.has(end.peer.host.name))
  return {
    kind: "simulation",
    trusted: true,
    leaf,
    listen: async (accept) => {
      if (leaf) return { address: "", close: async () => {} }
      if (net.listens(host.name)) throw new AddressUnavailable(host.name, "it is taken")
      const stop = net.listen(host, host.name, (end) => accept(wire(end, false)))
      return { address: host.name, close: async () => stop() }
    },
    dial: (address, signal) => dial(net, host, address, signal, (end) => wire(end, true)),
  }
}

function dial(
  net: Network<Uint8Array>,
  host: Host,
  address: string,
  signal: AbortSignal,
  wire: (end: End<Uint8Array>) => Wire,
): Promise<Connection> {
  return new Promise((resolve, reject) => {
    let waiting = true
    const aborted = (): void => {
      waiting = false
      reject(new PeerUnreachable(address, "aborted", signal.reason))
    }
    if (signal.aborted) return aborted()
    signal.addEventListener("abort", aborted, { once: true })
    net.dial(host, address, (answer) => {
      signal.removeEventListener("abort", aborted)
      if (answer === "refused") {
        if (waiting) reject(new PeerUnreachable(address, "refused"))
      } else if (waiting) resolve(wire(answer))
      else answer.destroy()
    })
  })
}

/** Flips 1 to 3 bits, chosen by the packet. */
function flip(world: World, bytes: Uint8Array, { from, to, n }: Packet): Uint8Array {
  const flipped = bytes.slice()
  const count = 1 + world.below(BITS, from, to, n, 3)
  for (let i = 0; i < count && flipped.length > 0; i++) {
    const bit = world.below(BITS + 1 + i, from, to, n, flipped.length * 8)
    flipped[bit >>> 3]! ^= 1 << (bit & 7)
  }
  return flipped
}

/** One end of a connection, as the runtime wants it. */
class Wire implements Connection {
  readonly remote: string
  readonly secure = true
  readonly bus: boolean
  readonly #net: Network<Uint8Array>
  readonly #end: End<Uint8Array>
  readonly #dialled: boolean
  /** Writes so far: the first two of each side are the handshake. */
  #writes = 0

  constructor(net: Network<Uint8Array>, end: End<Uint8Array>, dialled: boolean, bus: boolean) {
    this.bus = bus
    this.#net = net
    this.#end = end
    this.#dialled = dialled
    this.remote = end.peer.host.name
  }

  write(bytes: Uint8Array): boolean {
    const { mtuBytes } = this.#net
    if (bytes.length <= mtuBytes) return this.#send(bytes)
    let room = true
    for (let at = 0; at < bytes.length; at += mtuBytes)
      room = this.#send(bytes.slice(at, at + mtuBytes))
    return room
  }

  #send(bytes: Uint8Array): boolean {
    const n = this.#writes++
    this.#net.world.trace.mixBytes(bytes)
    return this.#end.send(bytes, bytes.length, () => speak(bytes, this.#dialled, n))
  }

  receive(handlers: Handlers | undefined): void {
    this.#end.receive(handlers)
  }

  close(): void {
    this.#end.close()
  }

  destroy(): void {
    this.#end.destroy()
  }
}
