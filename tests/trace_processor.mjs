// Perfetto's trace processor as its own page runs it, over stdin and stdout: node trace_processor.mjs ENGINE_BUNDLE
// The bundle is written for a worker of a browser; what it asks of one is given here. Requests and replies are streams
// of TraceProcessorRpcStream.
import { readFileSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { runInThisContext } from "node:vm";

const bundle = process.argv[2];
globalThis.self = globalThis;
globalThis.WorkerGlobalScope = class {};
globalThis.location = { href: `file://${bundle}` };
globalThis.XMLHttpRequest = class {
  open(method, name) {
    this.name = name;
  }
  send() {
    this.response = new Uint8Array(readFileSync(join(dirname(bundle), this.name.split("/").pop()))).buffer;
  }
};
console.log = console.warn = console.error = () => {};

// While it is loaded it must not find itself in Node, for which it was not compiled.
const node = process;
globalThis.process = undefined;
runInThisContext(readFileSync(bundle, "utf8"));
globalThis.process = node;

const port = {
  postMessage(reply) {
    for (let at = 0; at < reply.length; ) at += writeSync(1, reply, at);
  },
};
globalThis.onmessage({ data: port });
// It is ready once what it has queued has run.
setTimeout(() => port.onmessage({ data: new Uint8Array(readFileSync("/dev/stdin")) }), 0);
