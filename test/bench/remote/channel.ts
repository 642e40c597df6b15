/**
 * Other OS processes that a benchmark needs: how it starts them, asks them things and ends them, and how
 * their programs answer. Questions and answers are lines of JSON over the child's standard input and
 * output; what a child has to say to people goes to standard error.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process"
import { command } from "../harness.ts"

/** A running child. */
export interface Child {
  /** Answers as the command of the child's program does; rejects when it fails or the child ends. */
  ask<A>(command: string, argument?: unknown): Promise<A>
  /** Ends the child at once (kill -9); resolves when it is gone. */
  kill(): Promise<void>
}

interface Answer {
  readonly id: number
  readonly value?: unknown
  readonly error?: string
}

const running = new Set<ChildProcess>()

/** Starts a program of this directory, given without its ending. It ends at the latest when we do. */
export function start(file: string): Child {
  const [program, ...args] = command(`remote/${file}`)
  const process = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] })
  const waiting = new Map<number, (answer: Answer) => void>()
  let last = 0
  running.add(process)
  const gone = new Promise<void>((resolve) => {
    process.on("close", () => {
      running.delete(process)
      for (const [id, settle] of waiting) settle({ id, error: `${file} has ended` })
      resolve()
    })
  })
  process.stdin.on("error", () => {}) // The child may be gone; `close` says so.
  lines(process.stdout, (line) => {
    const answer: Answer = JSON.parse(line)
    waiting.get(answer.id)?.(answer)
    waiting.delete(answer.id)
  })
  return {
    ask: (command, argument) =>
      new Promise((resolve, reject) => {
        const id = ++last
        waiting.set(id, ({ value, error }) =>
          error === undefined ? resolve(value as never) : reject(new Error(error)),
        )
        process.stdin.write(`${JSON.stringify({ id, command, argument })}\n`)
      }),
    kill: () => {
      process.kill("SIGKILL")
      return gone
    },
  }
}

/** Runs `body` with children that it starts, and ends them all, whatever comes of it. */
export async function withChildren<A>(
  body: (start: (file: string) => Child) => Promise<A>,
): Promise<A> {
  const children: Array<Child> = []
  try {
    return await body((file) => {
      const child = start(file)
      children.push(child)
      return child
    })
  } finally {
    await Promise.all(children.map((child) => child.kill()))
  }
}

process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL")
})
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(1))

/** The child's side: answers what the parent asks, and ends when the parent does. */
export function serve(commands: Readonly<Record<string, (argument: never) => unknown>>): void {
  lines(process.stdin, async (line) => {
    const { id, command, argument } = JSON.parse(line)
    let answer: Answer
    try {
      answer = { id, value: await commands[command]!(argument as never) }
    } catch (error) {
      answer = { id, error: `${command}: ${error instanceof Error ? error.stack : error}` }
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`)
  })
  process.stdin.on("end", () => process.exit(0))
}

function lines(stream: NodeJS.ReadableStream, each: (line: string) => void): void {
  let rest = ""
  stream.setEncoding("utf8")
  stream.on("data", (text) => {
    const parts = (rest + String(text)).split("\n")
    rest = parts.pop()!
    for (const line of parts) each(line)
  })
}
