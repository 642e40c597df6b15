/**
 * Nodes of one network that tell each other where they are, with nothing configured but the cluster's
 * name and cookie: each announces itself to a multicast group of UDP again and again, and listens to the
 * others. It reaches as far as the network carries multicast; most clouds carry none, use DNS there.
 *
 * What is heard leads to a dial and to nothing else: a node becomes a member by the handshake. Packets are
 * sealed with the cookie, those of strangers are counted by reason and never acted on (see `packet.ts`).
 * Somebody who repeats a recorded packet gains little: each packet is taken once while its sender is
 * known, none that was sent `skewMillis` ago or more, and an address holds for three periods without a
 * packet. So a node that is gone can be made to look present for those few minutes, and then no more.
 *
 * A node without a cookie sends unsealed packets and takes no others; a node with one takes none of those.
 *
 * @example
 * ```ts
 * import { startNode } from "skein"
 * import { multicast } from "skein/discovery/multicast"
 * import { tcp } from "skein/transports/tcp"
 *
 * const transport = tcp({ port: 7001, host: "0.0.0.0", advertise: "10.0.0.5" })
 * const node = await startNode({ transport, cookie: "a secret", discovery: multicast() })
 * ```
 *
 * @module
 */
import { createSocket, type Socket } from "node:dgram"
import { isIPv4 } from "node:net"
import { networkInterfaces } from "node:os"
import { reachable } from "./address.ts"
import type { Context, Discovery } from "./discovery.ts"
import { decode, encode, keyOf, type Packet } from "./packet.ts"
import { checkedPeriod } from "./poll.ts"

/** Options of {@link multicast}. All nodes need the same group and port. */
export interface MulticastOptions {
  /**
   * The IPv4 address of the group. Default: `"239.255.115.107"`, from the block for use within a site
   * (RFC 2365).
   */
  readonly group?: string
  /** The UDP port, which several nodes of one machine share. Default: 45,892. */
  readonly port?: number
  /** The IPv4 address of the interface to use. Default: the one that the system routes the group to. */
  readonly interface?: string
  /** How many routers a packet may pass, plus one. Default: 1, which stays on the local network. */
  readonly ttl?: number
  /** A node announces itself after a random share of this, again and again. Default: 5,000. */
  readonly periodMillis?: number
  /**
   * How far the machines' clocks may be apart: what seems sent longer ago is stale. Default: 300,000.
   * `Infinity` takes packets of any age.
   */
  readonly skewMillis?: number
}

const GROUP = "239.255.115.107"
const PORT = 45_892
const TTL = 1
const PERIOD_MILLIS = 5_000
const SKEW_MILLIS = 300_000
/** An announcement holds for so many periods: that so many packets get lost in a row is unlikely. */
const PERIODS_HELD = 3
const LASTS_MILLIS_MAX = 3_600_000
/** A newcomer is answered within this: all at once would be a burst. */
const ANSWER_MILLIS = 200
/** However many newcomers there are, a node says no more often than this where it is. */
const GAP_MILLIS = 500
/** Nodes remembered at most. */
const HEARD_MAX = 1_024

/**
 * The strategy of UDP multicast. If an address that is announced stands for every interface (`0.0.0.0`,
 * `::`), or for the machine itself (`127.0.0.1`, `localhost`) but was announced by another machine, its
 * host is replaced by the IP address that the packet came from. That one isn't sealed: better give your
 * transport an address that others can dial.
 *
 * While the network is down, that is reported once a period, and tried again.
 *
 * @throws RangeError for an option out of its range
 */
export function multicast(options: MulticastOptions = {}): Discovery {
  const settings: Settings = {
    group: options.group ?? GROUP,
    port: options.port ?? PORT,
    interface: options.interface,
    ttl: options.ttl ?? TTL,
    periodMillis: checkedPeriod(options.periodMillis ?? PERIOD_MILLIS),
    skewMillis: options.skewMillis ?? SKEW_MILLIS,
  }
  check(settings)
  return {
    kind: "multicast",
    start: (context: Context): void => new Gossip(settings, context).open(),
  }
}

interface Settings extends Omit<Required<MulticastOptions>, "interface"> {
  readonly interface: string | undefined
}

function check({ group, port, ttl, skewMillis, ...settings }: Settings): void {
  const first = Number(group.split(".")[0])
  if (!isIPv4(group) || first < 224 || first > 239) {
    throw new RangeError(`group must be an IPv4 address from 224.0.0.0 on, got ${group}`)
  }
  if (settings.interface !== undefined && !isIPv4(settings.interface)) {
    throw new RangeError(`interface must be an IPv4 address, got ${settings.interface}`)
  }
  if (!isInteger(port, 65_535)) throw new RangeError(`port must be 1 to 65535, got ${port}`)
  if (!isInteger(ttl, 255)) throw new RangeError(`ttl must be 1 to 255, got ${ttl}`)
  if (!(skewMillis > 0)) throw new RangeError(`skewMillis must be above 0, got ${skewMillis}`)
}

function isInteger(value: number, max: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= max
}

/** What was heard of one run of a node. */
interface Heard {
  readonly address: string
  /** Of the last packet. */
  readonly stamp: number
  /** When it is forgotten, by our own clock. */
  readonly until: number
}

class Gossip {
  readonly #settings: Settings
  readonly #context: Context
  readonly #key: Uint8Array | undefined
  /** Of this run: several nodes, and their earlier runs, may be behind one address. */
  readonly #id: string
  readonly #heard = new Map<string, Heard>()
  /** What was told last, as one text. */
  #told = "[]"
  #socket: Socket | undefined
  #stamp = 0
  #sentAt = Number.NEGATIVE_INFINITY
  /** When the next announcement is due. */
  #dueAt = Number.POSITIVE_INFINITY
  #cancel: () => void = () => {}

  constructor(settings: Settings, context: Context) {
    this.#settings = settings
    this.#context = context
    this.#key = context.cookie === undefined ? undefined : keyOf(context.cookie)
    this.#id = digits(context.random()) + digits(context.random())
    // Throws now, rather than each time, if the packet would be too long.
    this.#announcement()
    context.signal.addEventListener("abort", () => this.#close())
  }

  // --- the socket --------------------------------------------------------------------------------

  /** Joins the group, and tries again until it could. */
  open(): void {
    if (this.#context.signal.aborted) return
    // With `reuseAddr` every node of this machine gets every packet, on all systems; `reusePort`, which
    // shares packets out between sockets, is neither needed nor everywhere.
    const socket = createSocket({ type: "udp4", reuseAddr: true })
    this.#socket = socket
    socket.on("error", (error) => this.#broken(socket, error))
    socket.on("message", (bytes, { address }) => this.#receive(bytes, address))
    socket.bind({ port: this.#settings.port, exclusive: true }, () => this.#join(socket))
  }

  #join(socket: Socket): void {
    if (socket !== this.#socket) return
    const { group, interface: at, ttl } = this.#settings
    try {
      socket.addMembership(group, at)
      if (at !== undefined) socket.setMulticastInterface(at)
      socket.setMulticastTTL(ttl)
      socket.setMulticastLoopback(true)
    } catch (error) {
      return this.#broken(socket, error)
    }
    this.#announce()
  }

  /** A socket that failed once may have lost the group with its interface: only a new one is sure. */
  #broken(socket: Socket, error: unknown): void {
    if (socket !== this.#socket) return
    this.#close()
    this.#context.failed(error)
    this.#cancel = this.#context.timer(this.#settings.periodMillis, () => this.open())
  }

  #close(): void {
    const socket = this.#socket
    this.#socket = undefined
    this.#cancel()
    this.#dueAt = Number.POSITIVE_INFINITY
    // What a socket still has to say while it is closed is of no interest.
    socket?.removeAllListeners("error").on("error", () => {})
    socket?.close()
  }

  // --- speaking ----------------------------------------------------------------------------------

  #announce(): void {
    const socket = this.#socket
    if (socket === undefined) return
    const { group, port, periodMillis } = this.#settings
    const now = this.#context.now()
    this.#sentAt = now
    socket.send(this.#announcement(), port, group, (error) => {
      if (error) this.#broken(socket, error)
    })
    this.#forget(now)
    this.#dueAt = Number.POSITIVE_INFINITY
    this.#due(now + periodMillis * (1 - this.#context.random()))
  }

  /** Announces at that time, or earlier if that is due already. */
  #due(at: number): void {
    if (at >= this.#dueAt) return
    this.#cancel()
    this.#dueAt = at
    this.#cancel = this.#context.timer(at - this.#context.now(), () => this.#announce())
  }

  #announcement(): Uint8Array {
    const { cluster, node, address, wall } = this.#context
    // The clock may be set back; what was sent later must not look older.
    this.#stamp = Math.max(this.#stamp + 1, Math.floor(wall()))
    const lastsMillis = Math.min(PERIODS_HELD * this.#settings.periodMillis, LASTS_MILLIS_MAX)
    const packet = { id: this.#id, stamp: this.#stamp, lastsMillis, node, address }
    return encode(packet, cluster, this.#key)
  }

  // --- hearing -----------------------------------------------------------------------------------

  #receive(bytes: Uint8Array, sender: string): void {
    const packet = decode(bytes, this.#context.cluster, this.#key)
    if (typeof packet === "string") return this.#context.ignored(packet)
    const address = reachable(packet.address, sender, isOurs)
    if (packet.id === this.#id || address === this.#context.address) return
    const now = this.#context.now()
    this.#forget(now)
    const reason = this.#unwanted(packet)
    if (reason !== undefined) return this.#context.ignored(reason)
    const isNew = !this.#heard.has(packet.id)
    this.#heard.set(packet.id, {
      address,
      stamp: packet.stamp,
      until: now + Math.min(packet.lastsMillis, LASTS_MILLIS_MAX),
    })
    this.#tell()
    if (!isNew) return
    // It may not have heard us, and shouldn't have to wait for our next time.
    const soon = now + ANSWER_MILLIS * this.#context.random()
    this.#due(Math.max(soon, this.#sentAt + GAP_MILLIS))
  }

  /** Why a packet that is sealed well is not acted on all the same. */
  #unwanted({ id, stamp }: Packet): "stale" | "replayed" | "full" | undefined {
    const known = this.#heard.get(id)
    if (Math.abs(stamp - this.#context.wall()) >= this.#settings.skewMillis) return "stale"
    if (known !== undefined && stamp <= known.stamp) return "replayed"
    return known === undefined && this.#heard.size >= HEARD_MAX ? "full" : undefined
  }

  /** Drops those who haven't been heard for too long. */
  #forget(now: number): void {
    for (const [id, { until }] of this.#heard) if (until <= now) this.#heard.delete(id)
    this.#tell()
  }

  #tell(): void {
    const addresses = [...new Set([...this.#heard.values()].map(({ address }) => address))].sort()
    const text = JSON.stringify(addresses)
    if (text === this.#told) return
    this.#told = text
    this.#context.found(addresses)
  }
}

/** 32 random bits. */
function digits(random: number): string {
  return Math.floor(random * 2 ** 32)
    .toString(16)
    .padStart(8, "0")
}

/** Whether an IP address is one of this machine. */
function isOurs(ip: string): boolean {
  return Object.values(networkInterfaces()).some((all) =>
    all?.some(({ address }) => address === ip),
  )
}
