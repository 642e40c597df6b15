/**
 * Several transports as one: a node listens on all of them, and its address lists theirs. Whoever dials tries
 * what his own transports can make of the list, in the order in which he has them.
 *
 * @module
 */
import {
  type Connection,
  type DialFailure,
  type Listener,
  PeerUnreachable,
  type Transport,
} from "../../transport.ts"
import type { Platform } from "../platform.ts"

/** Between the addresses of a node's transports. No address has it. */
const SEPARATOR = " "
/** A dial that has led to nothing for so long gets company by the next one. */
const HEAD_START_MILLIS = 300

/** The transports as one, the most wanted first. `kind` names them all; it is trusted if all are. */
export function several(
  transports: ReadonlyArray<Transport>,
  platform: Pick<Platform, "timer">,
): Transport {
  return {
    kind: transports.map(({ kind }) => kind).join(" and "),
    trusted: transports.every(({ trusted }) => trusted),
    leaf: transports.some(({ leaf }) => leaf === true),
    listen: (accept) => listen(transports, accept),
    dial: (address, signal) => dial(transports, address, signal, platform),
  }
}

async function listen(
  transports: ReadonlyArray<Transport>,
  accept: (connection: Connection) => void,
): Promise<Listener> {
  const listeners: Array<Listener> = []
  const close = async (): Promise<void> => {
    await Promise.all(listeners.map((listener) => listener.close()))
  }
  try {
    for (const transport of transports) listeners.push(await transport.listen(accept))
  } catch (error) {
    await close()
    throw error
  }
  const addresses = listeners.map(({ address }) => address).filter((address) => address !== "")
  return { address: addresses.join(SEPARATOR), close }
}

/** One way to dial: an address of the list, by one transport. */
type Attempt = (signal: AbortSignal) => Promise<Connection>

function dial(
  transports: ReadonlyArray<Transport>,
  address: string,
  signal: AbortSignal,
  platform: Pick<Platform, "timer">,
): Promise<Connection> {
  const addresses = address.split(SEPARATOR)
  const attempts = transports.flatMap((transport) =>
    addresses.map(
      (one): Attempt =>
        (given) =>
          transport.dial(one, given),
    ),
  )
  const [only] = attempts
  return only !== undefined && attempts.length === 1
    ? only(signal)
    : first(attempts, address, signal, platform)
}

/** The first connection that comes about; all others are given up. */
function first(
  attempts: ReadonlyArray<Attempt>,
  address: string,
  signal: AbortSignal,
  platform: Pick<Platform, "timer">,
): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const others = new AbortController()
    const abort = (): void => others.abort(signal.reason)
    const failures: Array<PeerUnreachable> = []
    let begun = 0
    let over = false
    let cancel = (): void => {}
    const end = (): void => {
      over = true
      cancel()
      signal.removeEventListener("abort", abort)
      others.abort()
    }
    const failed = (error: unknown): void => {
      failures.push(failure(address, error))
      if (over) return
      if (begun < attempts.length) return next()
      if (failures.length < attempts.length) return
      end()
      reject(worst(failures, address))
    }
    const won = (connection: Connection): void => {
      if (over) return connection.destroy()
      end()
      resolve(connection)
    }
    const next = (): void => {
      cancel()
      const attempt = attempts[begun++]
      if (attempt === undefined) return
      cancel = platform.timer(HEAD_START_MILLIS, next)
      attempt(others.signal).then(won, failed)
    }
    if (signal.aborted) abort()
    else signal.addEventListener("abort", abort)
    next()
  })
}

function failure(address: string, error: unknown): PeerUnreachable {
  return error instanceof PeerUnreachable
    ? error
    : new PeerUnreachable(address, "unreachable", error)
}

/** From what says least against who is there to what says most: that all refuse is evidence. */
const ORDER: ReadonlyArray<DialFailure> = ["aborted", "timeout", "unreachable", "refused"]

function worst(failures: ReadonlyArray<PeerUnreachable>, address: string): PeerUnreachable {
  for (const reason of ORDER) {
    const found = failures.find((one) => one.reason === reason)
    if (found !== undefined) return new PeerUnreachable(address, reason, found.cause ?? found)
  }
  return new PeerUnreachable(address, "invalid-address")
}
