/**
 * Later, and soon: as a microtask, but so that other work of the host gets its turn.
 *
 * @module
 */

/** Microtasks in a row before other work of the host gets its turn. */
const TURN_MAX = 256

let run = 0
let turning = false
let waiting: (() => void)[] = []

/**
 * Runs `f` in a microtask, or in a later task when there were many: two nodes that answer each other
 * at once would else keep timers and sockets from ever running.
 */
export function soon(f: () => void): void {
  if (!turning) {
    turning = true
    later()
  }
  if (run < TURN_MAX) {
    run++
    queueMicrotask(f)
  } else {
    waiting.push(f)
  }
}

function turn(): void {
  turning = false
  run = 0
  const ready = waiting
  waiting = []
  for (const f of ready) soon(f)
}

let port: MessagePort | undefined

function later(): void {
  const host = globalThis as { setImmediate?: (f: () => void) => unknown }
  if (typeof host.setImmediate === "function") return void host.setImmediate(turn)
  // Browsers slow nested timers down to 4 ms, and hidden tabs' to a second, but not messages.
  if (port === undefined) {
    const channel = new MessageChannel()
    channel.port1.onmessage = () => turn()
    port = channel.port2
  }
  port.postMessage(undefined)
}
