/**
 * Which connections need no seals; see `Connection.secure`.
 *
 * @module
 */

/**
 * Whether nobody else can change what goes to `host`, which may have a port, or comes from there: as it is encrypted,
 * or stays on this machine. What the user says with `seal` decides otherwise.
 */
export function isSecure(encrypted: boolean, seal: boolean | undefined, host: string): boolean {
  return encrypted || !(seal ?? !isLoopback(host))
}

/** 127.0.0.0/8 (RFC 1122), also within IPv6 (RFC 4291), ::1, and the name that stands for them (RFC 6761). */
function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[(.*)\](:\d+)?$/, "$1").replace(/^([^:]+):\d+$/, "$1")
  return /^(?:(?:::ffff:)?127(?:\.\d{1,3}){3}|::1|localhost)$/i.test(bare)
}
