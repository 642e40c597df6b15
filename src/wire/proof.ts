/**
 * Proofs that a node knows the cluster's cookie, bound to one conversation.
 *
 * HMAC-SHA-256 (RFC 2104, FIPS 180-4) by the host's WebCrypto, over a label that says who proves what
 * and everything the two sides agreed on, each with its length, so that no two different conversations
 * give the same bytes.
 *
 * @module
 */
import { Writer } from "./bytes.ts"

/** Bytes of a proof. */
export const PROOF_BYTES: number = 32

const NOTHING = new Uint8Array(PROOF_BYTES)

/**
 * The proof that `label` knows `cookie`, about `parts`. Without a cookie there is nothing to prove:
 * zeros, which no cookie gives. Throws where the host has no WebCrypto.
 */
export async function create(
  cookie: string | undefined,
  label: string,
  parts: readonly Uint8Array[],
): Promise<Uint8Array> {
  if (cookie === undefined) return none()
  const writer = new Writer()
  writer.string(label)
  for (const part of parts) writer.bytes(part)
  // The byte in front keeps the key from being empty, which not every host takes.
  const raw = new TextEncoder().encode(`\u0001${cookie}`)
  const { subtle } = globalThis.crypto
  // Browsers have it in secure contexts alone.
  if (subtle === undefined) throw new Error("a cookie needs WebCrypto: serve this page over HTTPS")
  const algorithm = { name: "HMAC", hash: "SHA-256" }
  const key = await subtle.importKey("raw", raw, algorithm, false, ["sign"])
  return new Uint8Array(await subtle.sign("HMAC", key, new Uint8Array(writer.take())))
}

/** What stands in the place of a proof where none is due. */
export function none(): Uint8Array {
  return NOTHING.slice()
}

/** Whether two proofs are equal, in a time that doesn't tell where they differ. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  let difference = 0
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!
  return difference === 0
}
