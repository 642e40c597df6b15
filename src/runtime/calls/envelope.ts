/**
 * Messages as frames on a link: the hot kinds, which are written field by field, and the others, which
 * have a schema.
 *
 * Writing throws when an argument isn't plain data; the frame begun must then be dropped.
 *
 * @module
 */
import type * as Cluster from "../../core/cluster.ts"
import type { Reader, Writer } from "../../wire/bytes.ts"
import * as Frame from "../../wire/frame.ts"
import * as Message from "../../wire/message.ts"
import * as Value from "../../wire/value.ts"
import type { Link } from "../links/link.ts"

/** A call under the number that its answer comes back with. `pid` 0: only the name is known. */
export function call(
  writer: Writer,
  id: number,
  pid: number,
  name: string,
  method: string,
  args: ReadonlyArray<unknown>,
): void {
  writer.u8(Message.KIND.call)
  writer.uint(id)
  target(writer, pid, name)
  writer.string(method)
  writeArgs(writer, args)
}

/** A cast: nobody waits for it. `pid` 0: only the name is known. */
export function cast(
  writer: Writer,
  pid: number,
  name: string,
  method: string,
  args: ReadonlyArray<unknown>,
): void {
  writer.u8(Message.KIND.cast)
  target(writer, pid, name)
  writer.string(method)
  writeArgs(writer, args)
}

/** A call (or a cast: `id` 0) that is passed on: its answer goes straight to `origin`. */
export function forward(
  writer: Writer,
  origin: string,
  id: number,
  name: string,
  hops: number,
  method: string,
  args: ReadonlyArray<unknown>,
): void {
  writer.u8(Message.KIND.forward)
  writer.string(origin)
  writer.uint(id)
  writer.string(name)
  writer.u8(hops)
  writer.string(method)
  writeArgs(writer, args)
}

function target(writer: Writer, pid: number, name: string): void {
  writer.uint(pid)
  if (pid === 0) writer.string(name)
}

function writeArgs(writer: Writer, args: ReadonlyArray<unknown>): void {
  writer.uint(args.length)
  for (let i = 0; i < args.length; i++) Value.write(writer, args[i])
}

/** The arguments of a message; what they are worth only `reader.done()` tells. */
export function args(reader: Reader): ReadonlyArray<unknown> {
  const count = reader.uint()
  const values: Array<unknown> = []
  for (let i = 0; i < count && !reader.failed; i++) values.push(Value.read(reader))
  return values
}

/** Sends one of the less frequent messages; false when it is too large. */
export function data(link: Link, message: Message.Data): boolean {
  const writer = link.begin()
  writer.u8(Message.KIND.data)
  Message.data.write(writer, message)
  return link.end() === undefined
}

/** Sends what one core says to another; false when it is too large. */
export function core(link: Link, message: Cluster.Message): boolean {
  const writer = link.begin()
  writer.u8(Message.KIND.core)
  Message.core.write(writer, message)
  return link.end() === undefined
}

/** Sends what a core says to all: one encoding for every link. `scratch` is left empty. */
export function broadcast(scratch: Writer, links: Iterable<Link>, message: Cluster.Message): void {
  const at = Frame.begin(scratch)
  scratch.u8(Message.KIND.core)
  Message.core.write(scratch, message)
  Frame.end(scratch, at)
  const frame = scratch.take()
  for (const link of links) link.raw(frame)
}
