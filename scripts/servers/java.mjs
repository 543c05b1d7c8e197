// @ts-check
/** A Java of a version that a server takes. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { find, versions } from './where.mjs';

/** @type {Map<string, number>} */
const known = new Map();

/**
 * @param {string} service
 * @param {(version: number) => boolean} takes
 * @param {string} what such as 'Java 17 or later'
 * @returns {import('./where.mjs').Where}
 */
export function findJava(service, takes, what) {
  const folders = [...(process.env.JAVA_HOME ? [join(process.env.JAVA_HOME, 'bin')] : []), ...versions('/usr/lib/jvm', 'bin')];
  const inPath = find(service, 'java');
  const programs = ['path' in inPath ? inPath.path : 'java', ...folders.map((folder) => join(folder, 'java'))];
  const path = programs.find((program) => takes(versionOf(program)));
  return path ? { path } : { why: `there is no ${what} here: npm run services:install ${service}` };
}

/** For servers that start often and run for seconds. */
export const briefJvm = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-XX:-UsePerfData', '-Xshare:auto'];

/** @param {string} program */
function versionOf(program) {
  const before = known.get(program);
  if (before !== undefined) return before;
  const { stderr } = spawnSync(program, ['-version'], { encoding: 'utf8' });
  const version = Number(/version "(?:1\.)?(\d+)/.exec(stderr ?? '')?.[1] ?? 0);
  // What isn't there may be installed yet.
  if (version > 0) known.set(program, version);
  return version;
}
