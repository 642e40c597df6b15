/**
 * Addresses of the form `host:port`, with an IPv6 host in brackets, as transports over IP have them.
 *
 * @module
 */

/** The address of a port at a host: an IP address or a name. */
export function format(host: string, port: number | string): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`
}

/**
 * Where a node can be dialled that calls itself `address`, in words that came from the IP address
 * `sender`. Its own words hold, but for two: a host that stands for every interface is never dialled, and
 * one that only the same machine can dial means something else on another. `local` tells whether an IP
 * address is one of this machine.
 */
export function reachable(address: string, sender: string, local: (ip: string) => boolean): string {
  const match = /^(?:\[([^\]]*)\]|([^:]*)):(\d+)$/.exec(address)
  if (match === null) return address
  const host = match[1] ?? match[2] ?? ""
  const here = isLoopback(host) && !isLoopback(sender) && !local(sender)
  return isWildcard(host) || here ? format(sender, match[3] ?? "") : address
}

function isWildcard(host: string): boolean {
  return host === "" || host === "0.0.0.0" || /^[0:]+$/.test(host)
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host)
}
