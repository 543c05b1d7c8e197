// @ts-check
/** Where a server's program is, or why there is none. */
import { accessSync, constants, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** @typedef {{ path: string } | { why: string }} Where */

// Debian keeps servers where ordinary users don't look.
const folders = () => [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin', '/usr/local/bin', '/opt/homebrew/bin'];

/**
 * @param {string} service its name in `npm run services:install`
 * @param {string} program
 * @param {readonly string[]} [more] folders to look in first
 * @returns {Where}
 */
export function find(service, program, more = []) {
  const path = [...more, ...folders()].map((folder) => join(folder, program)).find(isProgram);
  return path ? { path } : { why: `there is no ${program} here: npm run services:install ${service}` };
}

/**
 * @param {() => Where} where
 * @returns {string}
 */
export function pathOf(where) {
  const found = where();
  if ('path' in found) return found.path;
  throw new Error(found.why);
}

/**
 * Folders like /usr/lib/postgresql/15/bin, the newest first.
 * @param {string} parent
 * @param {string} child
 */
export function versions(parent, child) {
  try {
    return readdirSync(parent)
      .sort((a, b) => Number.parseFloat(b) - Number.parseFloat(a))
      .map((version) => join(parent, version, child));
  } catch {
    return [];
  }
}

/** @param {string} path */
function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
