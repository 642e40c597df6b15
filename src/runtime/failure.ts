/**
 * Errors between nodes: ours travel by tag and fields, those that a handler declares as data.
 *
 * @module
 */
import type { WireError } from "../wire/message.ts"
import * as Value from "../wire/value.ts"
import {
  Aborted,
  AlreadyRegistered,
  Contended,
  HandlerCrashed,
  NodeDown,
  NodeStopped,
  NoMethod,
  NoNode,
  NoProcess,
  NoQuorum,
  NoService,
  NotData,
  type Outcome,
  Overloaded,
  reasonOf,
  StartFailed,
  StartIgnored,
  Timeout,
  TooLarge,
  UnknownDefinition,
  Unreachable,
} from "./errors.ts"

type Ours = { [Tag in string]: (wire: WireError) => Error }

/** How each of our errors is put together again; the fields that it takes are in `text` and `number`. */
const ours: Ours = {
  NoProcess: (e) => new NoProcess(e.process),
  NoMethod: (e) => new NoMethod(e.process, e.text),
  Unreachable: (e) => new Unreachable(e.process, e.text),
  Overloaded: (e) => new Overloaded(e.process, e.text, e.number),
  HandlerCrashed: (e) => new HandlerCrashed(e.process, ...pair(e.text)),
  NotData: (e) => new NotData(e.process, e.text, e.outcome),
  TooLarge: (e) => new TooLarge(e.process, ...numbers(e.text), e.outcome),
  NodeStopped: (e) => new NodeStopped(e.process, e.text, e.outcome),
  StartIgnored: (e) => new StartIgnored(e.process),
  StartFailed: (e) => new StartFailed(e.process, e.text),
  AlreadyRegistered: (e) => new AlreadyRegistered(e.process, e.text),
  UnknownDefinition: (e) => new UnknownDefinition(e.process, e.text),
  NoService: (e) => new NoService(e.process, e.text),
  NodeDown: (e) => new NodeDown(e.process, e.text),
  Aborted: (e) => new Aborted(e.process, e.text, e.outcome),
  NoQuorum: (e) => new NoQuorum(e.process, ...numbers(e.text)),
  Contended: (e) => new Contended(e.process, e.number),
  NoNode: (e) => new NoNode(e.process),
  Timeout: (e) => new Timeout(e.process, e.text, e.number, e.outcome),
}

const TEXT_MAX = 8192

/** An error as it goes over the wire. What can't be told is told as text. */
export function toWire(process: string, error: unknown): WireError {
  const known = describe(error)
  if (known !== undefined) return { process, number: 0, declared: undefined, ...known }
  const plain = { outcome: "executed", process, number: 0 } as const
  try {
    return { ...plain, tag: "", text: "", declared: Value.encode(error) }
  } catch {
    return { ...plain, tag: "NotData", text: cut(reasonOf(error)), declared: undefined }
  }
}

/** An error as it came over the wire. */
export function fromWire(wire: WireError): unknown {
  if (wire.declared !== undefined) {
    const decoded = Value.decode(wire.declared)
    if (decoded !== undefined) return decoded.value
  }
  return ours[wire.tag]?.(wire) ?? new NotData(wire.process, wire.text, wire.outcome)
}

type Described = Pick<WireError, "tag" | "outcome" | "text"> & {
  readonly number?: number
  readonly process?: string
}

function describe(error: unknown): Described | undefined {
  if (error instanceof NoProcess) return of(error, "")
  if (error instanceof NoMethod) return of(error, error.method)
  if (error instanceof Unreachable) return of(error, error.node)
  if (error instanceof Overloaded) return { ...of(error, error.limit), number: error.max }
  if (error instanceof HandlerCrashed) return of(error, `${error.method}\n${error.reason}`)
  if (error instanceof NotData) return of(error, error.what)
  if (error instanceof TooLarge) return of(error, `${error.bytes}\n${error.bytesMax}`)
  if (error instanceof NodeStopped) return of(error, error.node)
  if (error instanceof StartIgnored) return of(error, "")
  if (error instanceof StartFailed) return of(error, error.reason)
  if (error instanceof AlreadyRegistered) return of(error, error.node)
  if (error instanceof UnknownDefinition) return of(error, error.node)
  if (error instanceof NoService) return of(error, error.node ?? "")
  if (error instanceof NodeDown) return of(error, error.node)
  if (error instanceof Aborted) return of(error, error.method)
  if (error instanceof NoQuorum) return of(error, `${error.needed}\n${error.got}`)
  if (error instanceof Contended) return { ...of(error, ""), number: error.attempts }
  if (error instanceof NoNode) return of(error, "")
  if (error instanceof Timeout) return { ...of(error, error.method), number: error.timeoutMillis }
  return undefined
}

function of(error: { _tag: string; outcome: Outcome; process: string }, text: string): Described {
  return { tag: error._tag, outcome: error.outcome, process: error.process, text: cut(text) }
}

function cut(text: string): string {
  return text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}…` : text
}

function pair(text: string): [string, string] {
  const at = text.indexOf("\n")
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)]
}

function numbers(text: string): [number, number] {
  const [a, b] = pair(text)
  return [Number(a), Number(b)]
}
