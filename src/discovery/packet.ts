/**
 * The packets with which nodes announce themselves to a multicast group. Whoever can send to the group
 * can send anything: decoding never throws, and gives a reason where it gives no packet.
 *
 * ```text
 *   magic "SKEN" | version 1 | flags: 1 where a seal follows | id 8 | stamp f64 | lasts u32
 *   cluster, node, address: each its bytes in UTF-8 after their number as u16
 *   seal 32: HMAC-SHA-256 of everything before it
 * ```
 *
 * Numbers are big endian. The key of the seal is made from the cluster's cookie for this purpose alone, so
 * that nothing sealed here is of use elsewhere. Whoever hears a packet can try out cookies on it at home:
 * let yours be long and random.
 *
 * @module
 */
import { createHmac, timingSafeEqual } from "node:crypto"

/** What a node says of itself. */
export interface Packet {
  /** Tells this run of the node from all others: 16 hexadecimal digits. */
  readonly id: string
  /** Unix milliseconds at the sender; later packets of one run have greater ones. */
  readonly stamp: number
  /** How many milliseconds the announcement holds if no other follows. A uint32. */
  readonly lastsMillis: number
  readonly node: string
  /** Where the node can be dialled. */
  readonly address: string
}

/**
 * Why bytes are no packet for us. `oversize`: more than {@link PACKET_BYTES_MAX}. `malformed`: not one of
 * ours, or cut. `version`: a version that isn't spoken here. `cluster`: for a cluster of another name.
 * `forged`: not sealed with our cookie. `sealed`: sealed, and we have no cookie.
 */
export type Stranger = "oversize" | "malformed" | "version" | "cluster" | "forged" | "sealed"

/** Bytes of a packet at most, so that it is never cut into several on the way. */
export const PACKET_BYTES_MAX: number = 1_024

const MAGIC = 0x53_4b_45_4e
const VERSION = 1
const HEAD_BYTES = 4 + 1 + 1 + 8 + 8 + 4
const SEAL_BYTES = 32

/** The key that packets of a cluster are sealed with. */
export function keyOf(cookie: string): Uint8Array {
  // The cookie is what is hashed, not the key of it: zeros at the end of that would make no difference.
  return createHmac("sha256", "skein multicast discovery 1").update(cookie).digest()
}

/** A packet as it is sent; sealed if there is a key. Throws RangeError where it would be too long. */
export function encode(packet: Packet, cluster: string, key: Uint8Array | undefined): Uint8Array {
  const texts = [cluster, packet.node, packet.address].map((text) => encoder.encode(text))
  const length = texts.reduce((sum, text) => sum + 2 + text.length, HEAD_BYTES)
  const whole = key === undefined ? length : length + SEAL_BYTES
  if (whole > PACKET_BYTES_MAX) {
    const problem = `the names of cluster and node and the address take ${whole} bytes`
    throw new RangeError(`${problem}, ${PACKET_BYTES_MAX} at most fit into a packet`)
  }
  const bytes = new Uint8Array(whole)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, MAGIC)
  view.setUint8(4, VERSION)
  view.setUint8(5, key === undefined ? 0 : 1)
  view.setBigUint64(6, BigInt(`0x${packet.id}`))
  view.setFloat64(14, packet.stamp)
  view.setUint32(22, packet.lastsMillis)
  let at = HEAD_BYTES
  for (const text of texts) {
    view.setUint16(at, text.length)
    bytes.set(text, at + 2)
    at += 2 + text.length
  }
  if (key !== undefined) bytes.set(seal(bytes.subarray(0, length), key), length)
  return bytes
}

/** The packet in some bytes from anybody, or why there is none for this cluster. Never throws. */
export function decode(
  bytes: Uint8Array,
  cluster: string,
  key: Uint8Array | undefined,
): Packet | Stranger {
  if (bytes.length > PACKET_BYTES_MAX) return "oversize"
  if (bytes.length < HEAD_BYTES) return "malformed"
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  if (view.getUint32(0) !== MAGIC) return "malformed"
  if (view.getUint8(4) !== VERSION) return "version"
  const flags = view.getUint8(5)
  if (flags > 1) return "malformed"
  const end = bytes.length - (flags === 1 ? SEAL_BYTES : 0)
  const texts = textsOf(bytes, end)
  const stamp = view.getFloat64(14)
  if (texts === undefined || !Number.isFinite(stamp)) return "malformed"
  const [named = "", node = "", address = ""] = texts
  if (named !== cluster) return "cluster"
  if (key === undefined && flags === 1) return "sealed"
  if (key !== undefined && !(flags === 1 && isSealed(bytes, end, key))) return "forged"
  const id = view.getBigUint64(6).toString(16).padStart(16, "0")
  return { id, stamp, lastsMillis: view.getUint32(22), node, address }
}

const encoder = new TextEncoder()
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** The three texts, if the bytes between the head and `end` are exactly these. */
function textsOf(bytes: Uint8Array, end: number): ReadonlyArray<string> | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const texts: Array<string> = []
  let at = HEAD_BYTES
  for (let i = 0; i < 3; i++) {
    if (at + 2 > end) return undefined
    const next = at + 2 + view.getUint16(at)
    if (next > end) return undefined
    try {
      texts.push(decoder.decode(bytes.subarray(at + 2, next)))
    } catch {
      return undefined
    }
    at = next
  }
  return at === end ? texts : undefined
}

function seal(bytes: Uint8Array, key: Uint8Array): Uint8Array {
  return createHmac("sha256", key).update(bytes).digest()
}

function isSealed(bytes: Uint8Array, end: number, key: Uint8Array): boolean {
  return timingSafeEqual(bytes.subarray(end), seal(bytes.subarray(0, end), key))
}
