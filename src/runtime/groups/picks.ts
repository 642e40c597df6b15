/**
 * References that stand for no process in particular: they pick one of a group, or several, at each call
 * and cast.
 *
 * @module
 */
import type { Membership } from "../../core/groups.ts"
import { decode } from "../annotation.ts"
import * as Ref from "../calls/ref.ts"
import type { AnyDefinition, CallOptions } from "../definition.ts"
import { NodeStopped, NotData } from "../errors.ts"
import { gather } from "../functions/gather.ts"
import type { Answers } from "./group.ts"

/** Brings messages to processes by their names and the names of their methods. */
export interface Messenger {
  call(
    process: string,
    method: string,
    args: ReadonlyArray<unknown>,
    timeoutMillis: number,
    signal: AbortSignal | undefined,
  ): Promise<unknown>
  /** Throws what is known at once. */
  cast(process: string, method: string, args: ReadonlyArray<unknown>): void
}

/**
 * A reference to the process that `pick` names; what it gives instead is what calls fail with. It has the methods of the
 * definition, or `call` and `cast` that take their names when there is no definition.
 */
export function one(
  messenger: Messenger,
  definition: AnyDefinition | undefined,
  pick: () => string | Error,
): unknown {
  return reference(definition, {
    call: (method, args, timeoutMillis, signal) => {
      const picked = pick()
      if (picked instanceof Error) return Promise.reject(picked)
      return messenger.call(picked, method, args, timeoutMillis, signal)
    },
    cast: (method, args) => {
      const picked = pick()
      if (picked instanceof Error) throw picked
      messenger.cast(picked, method, args)
    },
  })
}

/** A reference to all processes that `pick` gives: calls gather their answers, casts count them. */
export function several(
  messenger: Messenger,
  definition: AnyDefinition | undefined,
  pick: () => ReadonlyArray<Membership>,
): unknown {
  return reference(definition, {
    call: (method, args, timeoutMillis, signal) =>
      ask(pick(), (process) => messenger.call(process, method, args, timeoutMillis, signal)),
    cast: (method, args) => count(pick(), (process) => messenger.cast(process, method, args)),
  })
}

async function ask(
  members: ReadonlyArray<Membership>,
  call: (process: string) => Promise<unknown>,
): Promise<Answers<unknown, unknown>> {
  const asked = members.map(({ name, table, meta }) => ({ process: name, node: table.owner, meta }))
  const metas = new Map(asked.map(({ process, meta }) => [process, meta]))
  const { replies, failures } = await gather(asked, ({ process }) => call(process))
  const metaOf = (process: string | undefined): unknown => decode(metas.get(process as string))
  return {
    replies: replies.map(({ node, process = "", value }) => {
      return { node, process, meta: metaOf(process), value }
    }),
    failures: failures.map(({ node, process = "", error }) => {
      return { node, process, meta: metaOf(process), error }
    }),
  }
}

function count(members: ReadonlyArray<Membership>, cast: (process: string) => void): number {
  let sent = 0
  for (const { name } of members) {
    try {
      cast(name)
      sent++
    } catch (error) {
      // These are the same for everybody, so nobody was sent anything yet.
      if (error instanceof NotData || error instanceof NodeStopped) throw error
    }
  }
  return sent
}

/** What a reference does when one of its methods is called. */
interface Sender {
  readonly call: (
    method: string,
    args: ReadonlyArray<unknown>,
    timeoutMillis: number,
    signal: AbortSignal | undefined,
  ) => Promise<unknown>
  readonly cast: (method: string, args: ReadonlyArray<unknown>) => unknown
}

function reference(definition: AnyDefinition | undefined, sender: Sender): unknown {
  if (definition === undefined) return new Untyped(sender, {})
  const caller: Ref.Caller = {
    call: (_target, { name }, args, timeoutMillis, signal) =>
      sender.call(name, args, timeoutMillis, signal),
    cast: (_target, { name }, args) => sender.cast(name, args),
  }
  return Ref.make(caller, definition, "")
}

/** Calls by the names of methods, for those who don't know the definition. */
class Untyped {
  readonly #sender: Sender
  readonly #options: CallOptions

  constructor(sender: Sender, options: CallOptions) {
    this.#sender = sender
    this.#options = options
  }

  call(method: string, ...args: ReadonlyArray<unknown>): Promise<unknown> {
    const { timeout = Ref.TIMEOUT_MILLIS, signal } = this.#options
    return this.#sender.call(method, args, timeout, signal)
  }

  cast(method: string, ...args: ReadonlyArray<unknown>): unknown {
    return this.#sender.cast(method, args)
  }

  with(options: CallOptions): Untyped {
    return new Untyped(this.#sender, { ...this.#options, ...options })
  }
}
