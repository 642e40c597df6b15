/**
 * Nodes of one process that talk through memory: for tests, examples and single-process clusters.
 * It behaves as a socket does (asynchronous, ordered, bounded, nothing shared), without the network.
 *
 * @module
 */
import { soon } from "../src/soon.ts"
import {
  AddressUnavailable,
  type CloseReason,
  type Connection,
  type Handlers,
  type Listener,
  PeerUnreachable,
  type Transport,
} from "../src/transport.ts"

/** The network that a set of memory transports shares: they reach each other and nobody else. */
export interface MemoryHub {
  readonly listeners: Map<string, (connection: Connection) => void>
  /** The number of the next address that nobody chose. */
  next: number
}

/** Options of {@link memory}. */
export interface MemoryOptions {
  /** The address to listen on: any non-empty text. Default: `"memory:1"`, `"memory:2"`, … */
  readonly address?: string
  /** Bytes on their way in one direction from which `write` says false. Default: 1 MiB. */
  readonly highWaterBytes?: number
}

const HIGH_WATER_BYTES = 1024 * 1024

/** A new network with nobody on it. */
export function memoryHub(): MemoryHub {
  return { listeners: new Map(), next: 1 }
}

/** A transport over `hub`. One hub serves any number of transports, one per node. */
export function memory(hub: MemoryHub, options: MemoryOptions = {}): Transport {
  const highWaterBytes = options.highWaterBytes ?? HIGH_WATER_BYTES
  return {
    kind: "memory",
    trusted: true,
    listen: async (accept) => listen(hub, options.address ?? `memory:${hub.next++}`, accept),
    dial: async (address, signal) => dial(hub, address, signal, highWaterBytes),
  }
}

function listen(
  hub: MemoryHub,
  address: string,
  accept: (connection: Connection) => void,
): Listener {
  if (address === "") throw new AddressUnavailable(address, "the address is empty")
  if (hub.listeners.has(address)) throw new AddressUnavailable(address, "it is taken")
  const entry = (connection: Connection): void => accept(connection)
  hub.listeners.set(address, entry)
  return {
    address,
    close: async () => {
      if (hub.listeners.get(address) === entry) hub.listeners.delete(address)
    },
  }
}

function dial(
  hub: MemoryHub,
  address: string,
  signal: AbortSignal,
  highWaterBytes: number,
): Connection {
  if (signal.aborted) throw new PeerUnreachable(address, "aborted", signal.reason)
  if (address === "") throw new PeerUnreachable(address, "invalid-address")
  const accept = hub.listeners.get(address)
  if (accept === undefined) throw new PeerUnreachable(address, "refused")
  const ours = new End(address, highWaterBytes)
  const theirs = new End("memory", highWaterBytes)
  ours.peer = theirs
  theirs.peer = ours
  soon(() => accept(theirs))
  return ours
}

/** One side of a connection, with the bytes that are on their way to it. */
class End implements Connection {
  readonly remote: string
  readonly secure = true
  peer: End | undefined
  readonly #highWaterBytes: number
  #handlers: Handlers | undefined
  #inbox: Uint8Array[] = []
  #head = 0
  #inboxBytes = 0
  #scheduled = false
  /** The other side's last write found our inbox full. */
  #full = false
  /** Our last write found the other inbox full, and it is empty now. */
  #drained = false
  /** Why it is over, once that is known; told when the inbox is empty. */
  #over: CloseReason | undefined
  #told = false

  constructor(remote: string, highWaterBytes: number) {
    this.remote = remote
    this.#highWaterBytes = highWaterBytes
  }

  write(bytes: Uint8Array): boolean {
    if (this.#over !== undefined || this.peer === undefined) return false
    return this.peer.#put(bytes)
  }

  receive(handlers: Handlers | undefined): void {
    this.#handlers = handlers
    this.#schedule()
  }

  close(): void {
    this.#finish("ended", "ended")
  }

  destroy(): void {
    this.#finish("destroyed", "reset")
  }

  #put(bytes: Uint8Array): boolean {
    // Closed on this side and not yet known on the other: as with a socket, the bytes go nowhere.
    if (this.#over !== undefined) return false
    // A copy, as both sides own what they hold; `slice` of a Node Buffer wouldn't be one.
    if (bytes.length > 0) this.#inbox.push(new Uint8Array(bytes))
    this.#inboxBytes += bytes.length
    this.#schedule()
    if (this.#inboxBytes < this.#highWaterBytes) return true
    this.#full = true
    return false
  }

  #finish(here: CloseReason, there: CloseReason): void {
    if (this.#told) return
    // Over already, with the other side's last bytes still waiting here: they are not wanted any more.
    if (this.#over !== undefined) return this.#discard(here === "destroyed" ? here : this.#over)
    this.#discard(here)
    const peer = this.peer
    this.peer = undefined
    if (peer === undefined || peer.#over !== undefined) return
    peer.peer = undefined
    if (there === "reset") return peer.#discard(there)
    peer.#over = there
    peer.#schedule()
  }

  #discard(reason: CloseReason): void {
    this.#inbox = []
    this.#head = 0
    this.#inboxBytes = 0
    this.#drained = false
    this.#over = reason
    this.#schedule()
  }

  #schedule(): void {
    if (this.#scheduled || this.#handlers === undefined) return
    this.#scheduled = true
    soon(this.#deliver)
  }

  readonly #deliver = (): void => {
    this.#scheduled = false
    // A handler may write, redirect, close or destroy: the state is looked at afresh each time.
    while (this.#handlers !== undefined && this.#head < this.#inbox.length) {
      const bytes = this.#inbox[this.#head++]!
      this.#inboxBytes -= bytes.length
      this.#handlers.data(bytes)
    }
    const left = this.#inbox.length - this.#head
    this.#inbox.splice(0, this.#head)
    this.#head = 0
    if (left > 0) return
    this.#emptied()
    if (this.#drained && this.#handlers !== undefined) {
      this.#drained = false
      this.#handlers.drain()
    }
    if (this.#over === undefined || this.#told || this.#handlers === undefined) return
    this.#told = true
    this.#handlers.close(this.#over)
  }

  #emptied(): void {
    const peer = this.peer
    if (!this.#full || peer === undefined) return
    this.#full = false
    peer.#drained = true
    peer.#schedule()
  }
}
