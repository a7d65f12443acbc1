// aws-local-stepfunctions: runs a definition (argv 2) on an input (argv 3) so many times (argv 4), the function in this
// process, and prints the seconds of each run as a JSON array.
// Version 3 asks for Node 22; this is all that Node 20 lacks.
Promise.withResolvers ??= function () {
  const parts = {};
  parts.promise = new this((resolve, reject) => Object.assign(parts, { resolve, reject }));
  return parts;
};

const { StateMachine } = require('aws-local-stepfunctions');
const { readFileSync } = require('fs');

async function main() {
  const definition = JSON.parse(readFileSync(process.argv[2], 'utf8'));
  const input = JSON.parse(readFileSync(process.argv[3], 'utf8'));
  const seconds = [];
  for (let round = 0; round < Number(process.argv[4]); round++) {
    const machine = new StateMachine(definition, { validationOptions: { noValidate: true } });
    const start = process.hrtime.bigint();
    const execution = machine.run(input, { overrides: { taskResourceLocalHandlers: { Call: () => ({}) } } });
    await execution.result;
    seconds.push(Number(process.hrtime.bigint() - start) / 1e9);
  }
  console.log(JSON.stringify(seconds));
}
main().catch((error) => { console.error(String(error)); process.exit(1); });
