/**
 * Other OS processes, or threads, that a benchmark needs: how it starts them, asks them things and ends them, and how
 * their programs answer. Questions and answers are lines of JSON over the child's standard input and output; what a
 * child has to say to people goes to standard error.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process"
import { parentPort, Worker } from "node:worker_threads"
import { command, program } from "../harness.ts"

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

/** How questions come to a child, and answers from it. */
interface Line {
  send(text: string): void
  /** Resolves when the child is gone. */
  kill(): Promise<void>
}

const running = new Set<ChildProcess>()
/** BroadcastChannels don't leave an OS process: there the children are threads. */
const threads: boolean = process.env.BENCH_TRANSPORT === "broadcast-channel"

/** Starts a program of this directory, given without its ending. It ends at the latest when we do. */
export function start(file: string): Child {
  const waiting = new Map<number, (answer: Answer) => void>()
  let last = 0
  const heard = (text: string): void => {
    const answer: Answer = JSON.parse(text)
    waiting.get(answer.id)?.(answer)
    waiting.delete(answer.id)
  }
  const gone = (): void => {
    for (const [id, settle] of waiting) settle({ id, error: `${file} has ended` })
  }
  const line = (threads ? thread : child)(`remote/${file}`, heard, gone)
  return {
    ask: (command, argument) =>
      new Promise((resolve, reject) => {
        const id = ++last
        waiting.set(id, ({ value, error }) =>
          error === undefined ? resolve(value as never) : reject(new Error(error)),
        )
        line.send(JSON.stringify({ id, command, argument }))
      }),
    kill: () => line.kill(),
  }
}

function child(file: string, heard: (text: string) => void, gone: () => void): Line {
  const [program, ...args] = command(file)
  const process = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] })
  running.add(process)
  const closed = new Promise<void>((resolve) => {
    process.on("close", () => {
      running.delete(process)
      gone()
      resolve()
    })
  })
  process.stdin.on("error", () => {}) // The child may be gone; `close` says so.
  lines(process.stdout, heard)
  return {
    send: (text) => void process.stdin.write(`${text}\n`),
    kill: () => {
      process.kill("SIGKILL")
      return closed
    },
  }
}

function thread(file: string, heard: (text: string) => void, gone: () => void): Line {
  const worker = new Worker(program(file))
  worker.on("message", heard)
  worker.on("exit", gone)
  worker.on("error", (error) => {
    throw error
  })
  return {
    send: (text) => worker.postMessage(text),
    kill: async () => void (await worker.terminate()),
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
  const answered = async (text: string): Promise<string> => {
    const { id, command, argument } = JSON.parse(text)
    try {
      return JSON.stringify({ id, value: await commands[command]!(argument as never) })
    } catch (error) {
      const why = error instanceof Error ? error.stack : error
      return JSON.stringify({ id, error: `${command}: ${why}` })
    }
  }
  if (parentPort !== null) {
    const port = parentPort
    port.on("message", async (text: string) => port.postMessage(await answered(text)))
    return
  }
  lines(process.stdin, async (text) => void process.stdout.write(`${await answered(text)}\n`))
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
