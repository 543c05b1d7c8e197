// @ts-check
/**
 * Keeps package-lock.json complete. Packages with binaries name one optional package a platform; where a registry does
 * not carry some of them, `npm install` leaves those out of the lockfile, and then `npm ci` refuses it everywhere.
 *
 *   node scripts/lockfile.mjs        fails if some are missing
 *   node scripts/lockfile.mjs --fix  adds them: version, platform and no hash, which is all that can be known here;
 *                                    npm skips them on other platforms and adds the hash where it can install them
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';

/**
 * @typedef {object} Locked
 * @property {string} [version]
 * @property {string} [license]
 * @property {boolean} [dev]
 * @property {boolean} [optional]
 * @property {string[]} [os]
 * @property {string[]} [cpu]
 * @property {string[]} [libc]
 * @property {Record<string, string>} [optionalDependencies]
 * @typedef {{ packages: Record<string, Locked> }} Lockfile
 */

/**
 * The entries that a lockfile should have and has not, by their key.
 * @param {Lockfile} lockfile
 * @returns {Map<string, Locked>}
 */
export function missingEntries({ packages }) {
  /** @type {Map<string, Locked>} */
  const missing = new Map();
  for (const [key, parent] of Object.entries(packages)) {
    for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
      if (packages[`${key}/node_modules/${name}`] || packages[`node_modules/${name}`]) continue;
      const platform = platformOf(name);
      missing.set(`node_modules/${name}`, {
        // In npm's order, so that its next change is a small diff.
        version,
        cpu: platform.cpu,
        ...(parent.dev ? { dev: true } : {}),
        ...(platform.libc ? { libc: platform.libc } : {}),
        ...(parent.license ? { license: parent.license } : {}),
        optional: true,
        os: platform.os,
      });
    }
  }
  return missing;
}

/**
 * What a package's name says of the machines that it is for.
 * @param {string} name
 * @returns {{ os: string[], cpu: string[], libc?: string[] }}
 */
function platformOf(name) {
  const [, os, cpu, libc] =
    /(android|darwin|freebsd|linux|openharmony|win32)-(arm64|armv7|arm|x64|ia32|ppc64|riscv64|s390x)(?:-(\w+))?$/.exec(name) ?? [];
  if (!os || !cpu) throw new Error(`${name} does not say its platform; add it by hand`);
  const libcs = libc?.startsWith('musl') ? { libc: ['musl'] } : libc?.startsWith('gnu') ? { libc: ['glibc'] } : {};
  return { os: [os], cpu: [cpu === 'armv7' ? 'arm' : cpu], ...libcs };
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const path = fileURLToPath(new URL('../package-lock.json', import.meta.url));
  const lockfile = JSON.parse(readFileSync(path, 'utf8'));
  const missing = missingEntries(lockfile);
  for (const key of missing.keys()) console.log(`missing: ${key}`);
  if (process.argv.includes('--fix') && missing.size > 0) {
    const entries = [...Object.entries(lockfile.packages), ...missing].sort(([a], [b]) => a.localeCompare(b, 'en'));
    writeFileSync(path, `${JSON.stringify({ ...lockfile, packages: Object.fromEntries(entries) }, null, 2)}\n`);
  } else if (missing.size > 0) {
    console.log('then npm ci refuses the lockfile: node scripts/lockfile.mjs --fix');
    process.exitCode = 1;
  }
}
