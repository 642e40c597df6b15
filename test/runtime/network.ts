/**
 * Networks for whole nodes, over the transport that `SKEIN_TRANSPORT` names: the runtime's tests are run over each.
 *
 * @module
 */
import { AddressUnavailable, PeerUnreachable, type Transport } from "../../src/transport.ts"
import { broadcastChannel } from "../../transports/broadcast-channel.ts"
import { memory, memoryHub } from "../../transports/memory.ts"
import { tcp } from "../../transports/tcp.ts"
import { webSocketServer } from "../../transports/websocket-server.ts"

/** A network of its own, on which names are addresses. */
export interface Network {
  /** What a node needs that is to be reached at `address`. */
  at(address: string): { readonly transport: Transport; readonly cookie?: string }
}

const makes: Readonly<Record<string, () => Network>> = {
  memory: () => {
    const hub = memoryHub()
    return { at: (address) => ({ transport: memory(hub, { address }) }) }
  },
  tcp: () => named(() => tcp({ port: 0, seal: true }), "a secret"),
  websocket: () => named(() => webSocketServer({ port: 0, seal: true }), "a secret"),
  "broadcast-channel": () => {
    const name = `network-${count++}`
    return named(() => broadcastChannel({ name }))
  },
}

/** Of the transport. */
export const kind: string = process.env.SKEIN_TRANSPORT ?? "memory"

let count = 0

/** A new network with nobody on it. */
export function network(): Network {
  const make = makes[kind]
  if (make === undefined)
    throw new Error(`SKEIN_TRANSPORT is one of ${Object.keys(makes)}, got ${kind}`)
  return make()
}

/** Transports whose own addresses, which nobody knows before, have names. */
function named(make: () => Transport, cookie?: string): Network {
  const real = new Map<string, string>()
  const transport = (name: string): Transport => {
    const { discovery: _, ...inner } = make()
    return {
      ...inner,
      listen: async (accept) => {
        if (real.has(name)) throw new AddressUnavailable(name, "it is taken")
        const listener = await inner.listen(accept)
        real.set(name, listener.address)
        const close = (): Promise<void> => {
          real.delete(name)
          return listener.close()
        }
        return { address: name, close }
      },
      dial: async (address, signal) => {
        const found = real.get(address)
        if (found === undefined) throw new PeerUnreachable(address, "refused")
        return inner.dial(found, signal)
      },
    }
  }
  return {
    at: (name) => ({
      transport: transport(name),
      ...(cookie === undefined ? {} : { cookie }),
    }),
  }
}
