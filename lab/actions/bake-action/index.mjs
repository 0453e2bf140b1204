import {appendFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import path from 'node:path';
import {pathToFileURL} from 'node:url';

// The lab sets NODE_MODULES to the directory of the library, because NODE_PATH does not apply to ES modules.
const root = path.join(process.env.NODE_MODULES, '@docker/actions-toolkit');
const load = name => import(pathToFileURL(createRequire(`${root}/x.js`).resolve(`${root}/lib/${name}.js`)).href);
const {Toolkit} = await load('toolkit');
const {Bake} = await load('buildx/bake');
const {Exec} = await load('exec');
const list = (name, separator) => (process.env[`INPUT_${name}`] ?? '').split(separator).map(s => s.trim()).filter(Boolean);

const toolkit = new Toolkit();
const builder = await toolkit.builder.inspect();
console.log(`builder ${builder.name} ${builder.driver} ${builder.nodes.map(n => n.status)}`);
const request = {
  files: list('FILES', '\n'),
  targets: list('TARGETS', /[\n,]/),
  overrides: list('SET', '\n'),
  push: process.env.INPUT_PUSH === 'true',
};
const cwd = process.env.INPUT_WORKDIR || '.';
const bake = new Bake({buildx: toolkit.buildx});
const definition = await bake.getDefinition(request, {cwd});
console.log(`definition of ${Object.keys(definition.target)}`);
const args = ['bake', '--metadata-file', bake.getMetadataFilePath(), '--builder', builder.name];
for (const file of request.files) args.push('--file', file);
for (const override of request.overrides) args.push('--set', override);
if (request.push) args.push('--push');
args.push(...request.targets);
const command = await toolkit.buildx.getCommand(args);
await Exec.exec(command.command, command.args, {cwd});
appendFileSync(process.env.GITHUB_OUTPUT, `metadata=${JSON.stringify(bake.resolveMetadata())}\n`);
