/**
 * The frames of the handshake: their layout, and total decoding of what a stranger sent. What they
 * are for is told in `handshake.ts`.
 *
 * All five start with their kind. A greeting (hello, challenge) goes on with the magic word and the
 * major version, a refusal with its reason: those beginnings are the same in all versions for ever,
 * so that any two can at least tell each other why they part. Bytes behind the fields known here are
 * allowed in greetings and refusals: later minor versions add to them.
 *
 * @module
 */
import { Reader, Writer } from "./bytes.ts"
import { PROOF_BYTES } from "./proof.ts"

/** Kinds of frames during the handshake. */
export const KIND = { hello: 1, challenge: 2, proof: 3, welcome: 4, refusal: 5 } as const

/** The major version: nodes of different ones never form a cluster. */
export const PROTOCOL_MAJOR: number = 1
/** The newest minor version spoken here. */
export const PROTOCOL_MINOR: number = 0
/** The oldest minor version still spoken here. */
export const PROTOCOL_MINOR_MIN: number = 0

/** Bytes of a nonce. */
export const NONCE_BYTES: number = 32

/** The longest cluster name, in UTF-16 code units. */
export const CLUSTER_MAX: number = 128
/** The longest address, in UTF-16 code units. */
export const ADDRESS_MAX: number = 512
/** The most features a node may tell. */
export const FEATURES_MAX: number = 16
/** The longest name of a feature, in UTF-16 code units. */
export const FEATURE_MAX: number = 32

const MAGIC = "SKEIN"
const NAME = /^[A-Za-z0-9._@:-]{1,64}$/
const DETAIL_MAX = 200

/** Who a node says it is. */
export interface Identity {
  /** The cluster's name: nodes of different clusters refuse each other. 1..128 characters. */
  readonly cluster: string
  /** The node's name: 1..64 of `A-Z a-z 0-9 . _ @ : -`. */
  readonly name: string
  /** Which run of the node it is: 1..2^53-1, higher is younger. */
  readonly epoch: number
  /** A random uint32 that tells two nodes with the same name and epoch apart. */
  readonly instance: number
  /** Where others can dial it; empty when they can't. At most 512 characters. */
  readonly address: string
  /** The newest minor version of the protocol that it speaks. */
  readonly minor: number
  /** What it can do besides: at most 16 names of at most 32 characters. Default: none. */
  readonly features?: readonly string[]
}

/** A hello or a challenge. */
export interface Greeting {
  readonly major: number
  readonly minorMin: number
  readonly identity: Identity
  readonly nonce: Uint8Array
}

/** Why a handshake failed. */
export type Rejection =
  /** The other speaks a protocol with which ours has no version in common. */
  | "version"
  /** The other belongs to a cluster of another name. */
  | "cluster"
  /** The other has another cookie, or none. */
  | "authentication"
  /** Another node of this name is alive. */
  | "name-conflict"
  /** A younger run of this node is known. */
  | "superseded"
  /** The other is this very node. */
  | "self"
  /** There is a connection to this node already. */
  | "duplicate"
  /** As many connections as are allowed. */
  | "full"
  /** The other is about to leave. */
  | "leaving"
  /** This node was told to stay out. */
  | "banned"
  /** What came is no handshake. */
  | "malformed"
  /** The other took too long. */
  | "timeout"
  /** A frame longer than a handshake's frame can be. */
  | "too-large"
  /** The connection was closed before the handshake was done. */
  | "closed"

const REJECTIONS: ReadonlySet<string> = new Set<Rejection>([
  "version",
  "cluster",
  "authentication",
  "name-conflict",
  "superseded",
  "self",
  "duplicate",
  "full",
  "leaving",
  "banned",
  "malformed",
  "timeout",
  "too-large",
  "closed",
])

/** A refusal on its way to the other side. */
export interface Refusal {
  readonly reason: Rejection
  readonly detail: string
  /** Of the node that holds the name, with `name-conflict` and `superseded`. */
  readonly epoch: number | undefined
  readonly instance: number | undefined
}

/** The body of a hello or challenge. Throws when `identity` breaks its own limits. */
export function writeGreeting(kind: number, identity: Identity, nonce: Uint8Array): Uint8Array {
  if (!valid(identity)) throw new Error(`BUG: invalid identity ${JSON.stringify(identity)}`)
  const writer = new Writer(256)
  writer.u8(kind)
  writer.string(MAGIC)
  writer.u16(PROTOCOL_MAJOR)
  writer.u16(PROTOCOL_MINOR_MIN)
  writer.u16(identity.minor)
  writer.bytes(nonce)
  writer.string(identity.cluster)
  writer.string(identity.name)
  writer.uint(identity.epoch)
  writer.u32(identity.instance)
  writer.string(identity.address)
  const features = identity.features ?? []
  writer.u8(features.length)
  for (const feature of features) writer.string(feature)
  return writer.take()
}

/**
 * What a greeting's body says. `"malformed"` when it is none; `"version"` when it is one of another
 * major version, whose other fields may mean anything.
 */
export function readGreeting(body: Uint8Array): Greeting | "malformed" | "version" {
  const reader = new Reader(body, 1, body.length)
  if (reader.string() !== MAGIC) return "malformed"
  const major = reader.u16()
  if (reader.failed) return "malformed"
  if (major !== PROTOCOL_MAJOR) return "version"
  const minorMin = reader.u16()
  const minor = reader.u16()
  const nonce = reader.bytes()
  const cluster = reader.string()
  const name = reader.string()
  const epoch = reader.uint()
  const instance = reader.u32()
  const address = reader.string()
  const count = reader.u8()
  const features: string[] = []
  for (let i = 0; i < count; i++) features.push(reader.string())
  const identity = { cluster, name, epoch, instance, address, minor, features }
  const sound = minorMin <= minor && nonce.length === NONCE_BYTES && valid(identity)
  return reader.failed || !sound ? "malformed" : { major, minorMin, identity, nonce }
}

function valid(identity: Identity): boolean {
  const { cluster, name, epoch, instance, address, minor, features = [] } = identity
  return (
    cluster.length >= 1 &&
    cluster.length <= CLUSTER_MAX &&
    NAME.test(name) &&
    Number.isSafeInteger(epoch) &&
    epoch >= 1 &&
    instance >>> 0 === instance &&
    address.length <= ADDRESS_MAX &&
    Number.isInteger(minor) &&
    minor >= 0 &&
    minor <= 0xffff &&
    features.length <= FEATURES_MAX &&
    features.every((feature) => feature.length >= 1 && feature.length <= FEATURE_MAX)
  )
}

/** The body of a proof or welcome. */
export function writeProof(kind: number, proof: Uint8Array): Uint8Array {
  const writer = new Writer(64)
  writer.u8(kind)
  writer.bytes(proof)
  return writer.take()
}

/** The proof that a body carries; undefined when it isn't one. */
export function readProof(body: Uint8Array): Uint8Array | undefined {
  const reader = new Reader(body, 1, body.length)
  const proof = reader.bytes()
  return reader.done() && proof.length === PROOF_BYTES ? proof : undefined
}

/** The part of a refusal's body that its proof covers. */
export function writeRefusal(refusal: Refusal): Uint8Array {
  const writer = new Writer(128)
  writer.u8(KIND.refusal)
  writer.string(refusal.reason)
  writer.string(refusal.detail.slice(0, DETAIL_MAX))
  writer.uint(refusal.epoch ?? 0)
  writer.u32(refusal.instance ?? 0)
  return writer.take()
}

/** The whole body of a refusal: what {@link writeRefusal} gave, and its proof. */
export function sealRefusal(covered: Uint8Array, proof: Uint8Array): Uint8Array {
  const writer = new Writer(covered.length + PROOF_BYTES + 8)
  writer.raw(covered)
  writer.bytes(proof)
  return writer.take()
}

/** What a refusal's body says, with its proof and what that covers; undefined when it isn't one. */
export function readRefusal(
  body: Uint8Array,
): { refusal: Refusal; covered: Uint8Array; proof: Uint8Array } | undefined {
  const reader = new Reader(body, 1, body.length)
  const said = reader.string()
  const detail = printable(reader.string())
  const epoch = reader.uint()
  const instance = reader.u32()
  const covered = body.slice(0, reader.position)
  const proof = reader.bytes()
  if (reader.failed || proof.length !== PROOF_BYTES) return undefined
  const named = epoch >= 1
  return {
    refusal: {
      // A reason that a later version knows ends a handshake as well.
      reason: isRejection(said) ? said : "closed",
      detail: isRejection(said) ? detail : `${printable(said)}: ${detail}`,
      epoch: named ? epoch : undefined,
      instance: named ? instance : undefined,
    },
    covered,
    proof,
  }
}

function isRejection(reason: string): reason is Rejection {
  return REJECTIONS.has(reason)
}

/** A stranger's words, made fit for a log. */
function printable(said: string): string {
  return said.slice(0, DETAIL_MAX).replace(/[^\x20-\x7e]/g, "?")
}
