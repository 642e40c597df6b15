/**
 * Many asked at once: what each of them answered, or why it didn't. One failure changes nothing for the
 * others.
 *
 * @module
 */

/** Who was asked: a node, and its process when it was one. */
export interface Asked {
  readonly node: string
  /** The name of the process; undefined when the node itself was asked. */
  readonly process: string | undefined
}

/** Who answered, and what. */
export interface Reply<A> extends Asked {
  readonly value: A
}

/** Who didn't, and why. */
export interface Missed<E> extends Asked {
  readonly error: E
}

/** The answers of everybody who was asked, in the order in which they were asked. */
export interface Gathered<A, E> {
  readonly replies: ReadonlyArray<Reply<A>>
  readonly failures: ReadonlyArray<Missed<E>>
}

/** Asks all of them at the same time; never rejects. */
export async function gather<T extends Asked>(
  targets: ReadonlyArray<T>,
  ask: (target: T) => Promise<unknown>,
): Promise<Gathered<unknown, unknown>> {
  const replies: Array<Reply<unknown>> = []
  const failures: Array<Missed<unknown>> = []
  const outcomes = await Promise.allSettled(targets.map(ask))
  for (const [index, outcome] of outcomes.entries()) {
    const { node, process } = targets[index] as T
    if (outcome.status === "fulfilled") replies.push({ node, process, value: outcome.value })
    else failures.push({ node, process, error: outcome.reason })
  }
  return { replies, failures }
}
