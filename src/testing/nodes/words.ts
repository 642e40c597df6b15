/**
 * What bytes on a link say, in a word or two, for traces: the kinds of the frames in a write.
 *
 * @module
 */
import { Reader } from "../../wire/bytes.ts"
import * as Frame from "../../wire/frame.ts"
import * as Message from "../../wire/message.ts"

const DIALLER = ["Hello", "Proof"]
const ACCEPTOR = ["Challenge", "Welcome"]
const PLAIN = [
  "",
  "Call",
  "Cast",
  "Reply",
  "Failure",
  "Forward",
  "",
  "Request",
  "Abandon",
  "Publish",
  "Relay",
  "Last",
]

/** The kinds of the frames that are complete in these bytes, the n-th write of one side. */
export function speak(bytes: Uint8Array, dialled: boolean, n: number): string {
  const greeting = (dialled ? DIALLER : ACCEPTOR)[n]
  if (greeting !== undefined) return greeting
  const words: Array<string> = []
  const deframer = new Frame.Deframer(Frame.FRAME_BYTES_MAX, (buffer, start, end) => {
    words.push(word(buffer, start, end))
  })
  deframer.push(bytes)
  if (words.length === 0) return `${bytes.length} bytes`
  return [...new Set(words)].join(" ")
}

function word(buffer: Uint8Array, start: number, end: number): string {
  const kind = buffer[start] ?? 0
  if (kind !== Message.KIND.core && kind !== Message.KIND.data) return PLAIN[kind] ?? `kind ${kind}`
  const reader = new Reader(buffer.subarray(start + 1, end))
  const message = kind === Message.KIND.core ? Message.core.read(reader) : Message.data.read(reader)
  return reader.failed ? "garbage" : message._tag
}
