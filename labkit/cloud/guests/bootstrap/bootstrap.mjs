// Runs a Node handler: one JSON object a line comes in by one file descriptor, one goes out by another.
// Page: "Define Lambda function handler in Node.js" (AWS Lambda Developer Guide).
import { createInterface } from "node:readline";
import { existsSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { Socket } from "node:net";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const END = "\x1e";
const [events, answers] = [process.env.LABKIT_EVENTS, process.env.LABKIT_ANSWERS].map(Number);
delete process.env.LABKIT_EVENTS;
delete process.env.LABKIT_ANSWERS;
const root = process.env.LAMBDA_TASK_ROOT;
const named = process.env._HANDLER ?? "";

async function load() {
  const dot = named.lastIndexOf(".");
  const [file, name] = [named.slice(0, dot), named.slice(dot + 1)];
  const found = [".js", ".mjs", ".cjs", ""].map((end) => join(root, file + end)).find(existsSync);
  if (dot < 1 || !found) {
    throw Object.assign(new Error(`Cannot find module '${file}'\nRequire stack:\n- ${root}`), {
      name: "Runtime.ImportModuleError",
    });
  }
  let module;
  try {
    module = createRequire(pathToFileURL(found))(found);
  } catch (error) {
    if (!["ERR_REQUIRE_ESM", "ERR_REQUIRE_ASYNC_MODULE"].includes(error.code) && !(error instanceof SyntaxError)) {
      throw error;
    }
    module = await import(pathToFileURL(found));
  }
  const handler = module[name] ?? module.default?.[name];
  if (typeof handler !== "function") {
    throw Object.assign(new Error(`${named} is undefined or not exported`), {
      name: "Runtime.HandlerNotFound",
    });
  }
  return handler;
}

function told(error) {
  if (!(error instanceof Error)) {
    return { errorType: typeof error, errorMessage: String(error), trace: [] };
  }
  return { errorType: error.name, errorMessage: error.message, trace: (error.stack ?? "").split("\n") };
}

function call(handler, event, context) {
  return new Promise((resolve, reject) => {
    const callback = (error, value) => (error ? reject(error) : resolve(value));
    const value = handler(event, context, callback);
    if (value && typeof value.then === "function") value.then(resolve, reject);
    else if (handler.length < 3) resolve(value);
  });
}

let handler, broken;
try {
  handler = await load();
} catch (error) {
  broken = error;
}
// a socket, because a file's pending read would keep a handler's process.exit waiting
for await (const line of createInterface({ input: new Socket({ fd: events }) })) {
  const { event, context, deadline } = JSON.parse(line);
  context.getRemainingTimeInMillis = () => Math.max(0, deadline - Date.now());
  context.callbackWaitsForEmptyEventLoop = true;
  let answer;
  try {
    if (broken) throw broken;
    const value = await call(handler, event, context);
    answer = { value: JSON.stringify(value === undefined ? null : value) };
  } catch (error) {
    const shown = told(error);
    console.error(`${context.awsRequestId}\tERROR\tInvoke Error\t${JSON.stringify(shown)}`);
    answer = { error: shown };
  }
  process.stdout.write(`${END}${context.awsRequestId}\n`);
  writeSync(answers, JSON.stringify(answer) + "\n");
}
