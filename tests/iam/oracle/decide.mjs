// Decides what it reads, a request with its policies a line, by @cloud-copilot/iam-simulate.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const packages = pathToFileURL(`${process.argv[2]}/node_modules/@cloud-copilot/`);
const from = (file) => import(new URL(`${file}.js`, packages));
const { loadPolicy } = await from("iam-policy/dist/esm/index");
const { authorize } = await from("iam-simulate/dist/esm/core_engine/CoreSimulatorEngine");
const { AwsRequestImpl } = await from("iam-simulate/dist/esm/request/request");
const { RequestContextImpl } = await from("iam-simulate/dist/esm/requestContext");
const { DiscoveryContextKeyConstraints } = await from(
  "iam-simulate/dist/esm/context_keys/discoveryContextKeyConstraints",
);

const load = (policy) => loadPolicy(policy, { name: "policy" });
const simulationParameters = {
  simulationMode: "Strict",
  discoveryContextKeyConstraints: new DiscoveryContextKeyConstraints([]),
};

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  const result = authorize({
    request: new AwsRequestImpl(
      asked.principal,
      { resource: asked.resource, accountId: asked.account },
      asked.action,
      new RequestContextImpl(asked.context),
      asked.resource === "*",
    ),
    identityPolicies: asked.identity.map(load),
    permissionBoundaries: asked.boundary?.map(load),
    sessionPolicy: asked.session && load(asked.session),
    serviceControlPolicies: asked.scps.map((level, number) => ({
      orgIdentifier: `level-${number}`,
      policies: level.map(load),
    })),
    resourceControlPolicies: [],
    resourcePolicy: asked.policy && load(asked.policy),
    vpcEndpointPolicies: undefined,
    simulationParameters,
    serviceSettings: { s3: {} },
  });
  console.log(JSON.stringify(result.result));
}
