/**
 * Addresses from the domain name system: those of a host's records, each with the same port, or those of
 * the services that SRV records list. It is asked every few seconds; what it said last holds while it
 * fails.
 *
 * That a name doesn't exist, or has no records, is an answer: nobody is there yet. A user who mistyped a
 * name should learn of it, so the first such answer in a row is reported as a failure as well.
 *
 * @example
 * ```ts
 * import { dns } from "skein/discovery/dns"
 *
 * // The pods behind a headless service of Kubernetes.
 * const pods = dns({ host: "chat.default.svc.cluster.local", port: 7001 })
 * // Wherever the records say, with the ports that they say.
 * const services = dns({ srv: "_chat._tcp.example.org", periodMillis: 30_000 })
 * ```
 *
 * @module
 */
import { lookup, resolveSrv } from "node:dns/promises"
import { format } from "./address.ts"
import type { Context, Discovery } from "./discovery.ts"
import { checkedPeriod, poll } from "./poll.ts"

/** Options of {@link dns} for a host. */
export interface HostOptions extends CommonOptions {
  /** The name whose addresses (A and AAAA) are the nodes'. A short one is completed as everywhere. */
  readonly host: string
  /** The port of every node. */
  readonly port: number
}

/** Options of {@link dns} for a service. */
export interface ServiceOptions extends CommonOptions {
  /**
   * The full name of the SRV records: `_service._tcp.example.org`. Weights and priorities are all one;
   * a target without an address is left out.
   */
  readonly srv: string
}

/** Options of {@link dns} for both. */
export interface CommonOptions {
  /** About how often it is asked, in milliseconds. Default: 5,000. */
  readonly periodMillis?: number
  /** Who is asked. Default: the system, as `lookup` and `resolveSrv` of `node:dns/promises` do. */
  readonly resolve?: Resolver
}

/**
 * Answers questions. A rejection with the `code` `ENOTFOUND` or `ENODATA` means that there is no such
 * record; any other one that there was no answer.
 */
export interface Resolver {
  /** The IPv4 and IPv6 addresses of a host. */
  hosts(name: string): Promise<ReadonlyArray<string>>
  /** The hosts and ports of a service. */
  services(name: string): Promise<ReadonlyArray<{ readonly name: string; readonly port: number }>>
}

const PERIOD_MILLIS = 5_000

/**
 * The strategy that asks the domain name system. A node that is listed under another spelling of its own
 * address (a name instead of a number) is dialled once, recognised, and left alone.
 *
 * @throws RangeError for a period below 1, or a port that isn't one
 */
export function dns(options: HostOptions | ServiceOptions): Discovery {
  const { periodMillis = PERIOD_MILLIS, resolve = system } = options
  checkedPeriod(periodMillis)
  if ("host" in options && !isPort(options.port)) {
    throw new RangeError(`port must be an integer from 1 to 65535, got ${options.port}`)
  }
  return {
    kind: "dns",
    start: (context: Context): void => {
      const look =
        "host" in options ? asHost(options, resolve) : asService(options, resolve, context)
      poll(context, { periodMillis, look, nobody: isMissing })
    },
  }
}

type Look = () => Promise<ReadonlyArray<string>>

function asHost({ host, port }: HostOptions, resolve: Resolver): Look {
  return async () => (await resolve.hosts(host)).map((ip) => format(ip, port))
}

function asService({ srv }: ServiceOptions, resolve: Resolver, context: Context): Look {
  /** What each target's name meant last. */
  let known: ReadonlyMap<string, ReadonlyArray<string>> = new Map()
  /** One target that can't be resolved must not hide the others. */
  const target = async (name: string): Promise<ReadonlyArray<string>> => {
    try {
      return await resolve.hosts(name)
    } catch (error) {
      if (isMissing(error)) return []
      context.failed(error)
      return known.get(name) ?? []
    }
  }
  return async () => {
    const services = await resolve.services(srv)
    const names = [...new Set(services.map(({ name }) => name))]
    const targets = await Promise.all(
      names.map(async (name) => [name, await target(name)] as const),
    )
    const hosts = new Map(targets)
    known = hosts
    return services.flatMap(({ name, port }) =>
      (hosts.get(name) ?? []).map((ip) => format(ip, port)),
    )
  }
}

const system: Resolver = {
  // Not `resolve4` and `resolve6`: they know neither the hosts file nor the system's search list.
  hosts: async (name) => (await lookup(name, { all: true })).map(({ address }) => address),
  services: (name) => resolveSrv(name),
}

function isMissing(error: unknown): boolean {
  const { code } = (error ?? {}) as { readonly code?: unknown }
  return code === "ENOTFOUND" || code === "ENODATA"
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535
}
