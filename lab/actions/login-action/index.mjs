import {appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import path from 'node:path';

const {INPUT_REGISTRY: registry, INPUT_USERNAME: username, INPUT_PASSWORD: password} = process.env;
const dir = process.env.DOCKER_CONFIG || path.join(process.env.HOME, '.docker');
const file = path.join(dir, 'config.json');
const config = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
config.auths ??= {};

if (process.env.STATE_LOGGED_IN) {
  delete config.auths[registry];
  if (!Object.keys(config.auths).length) delete config.auths;
} else {
  for (const [name, value] of Object.entries({registry, username, password})) {
    if (!value) throw new Error(`${name} is required`);
  }
  config.auths[registry] = {auth: Buffer.from(`${username}:${password}`).toString('base64')};
  appendFileSync(process.env.GITHUB_STATE, 'LOGGED_IN=true\n');
  console.log(`Login to ${registry} succeeded`);
}
mkdirSync(dir, {recursive: true});
writeFileSync(file, JSON.stringify(config), {mode: 0o600});
