/**
 * Which pages may connect. A browser sends cookies and whatever else it has for a host along with any page's
 * WebSocket to that host, and says which page it was: see "cross-site WebSocket hijacking".
 *
 * @module
 */

/**
 * Whether a request with these headers, `origin` and `host`, may connect. Who isn't a page has no origin.
 * Without `origins` only pages from the very host may.
 */
export function allowed(
  origin: string | null | undefined,
  host: string | null | undefined,
  origins: ReadonlyArray<string> | "*" | undefined,
): boolean {
  if (origin === null || origin === undefined || origins === "*") return true
  if (origins !== undefined) return origins.includes(origin)
  try {
    return new URL(origin).host === host
  } catch {
    return false
  }
}
