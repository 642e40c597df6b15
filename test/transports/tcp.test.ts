import { conformance } from "./conformance.ts"
import { tcp } from "../../transports/tcp.ts"
conformance("tcp", async () => ({
  transport: () => tcp({ port: 0 }),
  sameAddress: (address) => tcp({ port: Number(address.split(":")[1]) }),
  absent: "127.0.0.1:1",
  garbage: [""],
}))
