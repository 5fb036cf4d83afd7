// Copies what assets.json names out of node_modules into dist, under the same paths that the CDN serves it by, after
// holding each file against its integrity hash. `--pin` instead writes the installed versions and their hashes into
// assets.json: run it after changing a version in package.json.
import { createHash } from 'node:crypto';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const manifestFile = join(here, 'assets.json');
const manifest = JSON.parse(await readFile(manifestFile, 'utf8'));
const assets = [...manifest.styles, ...manifest.scripts];

async function installed(asset) {
  const [, name, version, file] = /^(.+)@([^/]+)\/(.+)$/.exec(asset.path);
  const folder = join(here, 'node_modules', name);
  const present = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')).version;
  const hash = createHash('sha384').update(await readFile(join(folder, file)));
  return {
    source: join(folder, file),
    path: `${name}@${present}/${file}`,
    integrity: `sha384-${hash.digest('base64')}`,
    matches(integrity) {
      return present === version && this.integrity === integrity;
    },
  };
}

if (process.argv.includes('--pin')) {
  for (const asset of assets) {
    const { path, integrity } = await installed(asset);
    Object.assign(asset, { path, integrity });
  }
  await writeFile(manifestFile, `${JSON.stringify(manifest, null, 2)}\n`);
} else {
  const dist = join(here, 'dist');
  await rm(dist, { recursive: true, force: true });
  for (const asset of assets) {
    const file = await installed(asset);
    if (!file.matches(asset.integrity)) {
      throw new Error(`${file.path} is not what assets.json pins; if it should be, run: npm run pin`);
    }
    await mkdir(dirname(join(dist, asset.path)), { recursive: true });
    await cp(file.source, join(dist, asset.path));
  }
}
