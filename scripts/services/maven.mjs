// @ts-check
/** Java servers, as the jars that they and their dependencies are. Where they come from is Maven's own configuration. */
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { aptInstall } from './apt.mjs';
import { run, which } from './run.mjs';

/**
 * @param {string} home the folder that will hold the jars
 * @param {readonly string[]} artifacts `group:name:version`
 */
export function mavenInstall(home, artifacts) {
  if (!which('mvn')) aptInstall(['maven', 'default-jdk-headless']);
  mkdirSync(dirname(home), { recursive: true });
  const folder = mkdtempSync(`${home}.part-`);
  try {
    writeFileSync(join(folder, 'pom.xml'), pomOf(artifacts));
    run('mvn', ['-q', '-B', 'dependency:copy-dependencies', '-DincludeScope=runtime', '-DoutputDirectory=jars'], { cwd: folder });
    renameSync(join(folder, 'jars'), home);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @param {readonly string[]} artifacts */
function pomOf(artifacts) {
  const dependencies = artifacts.map((artifact) => {
    const [group, name, version] = artifact.split(':');
    return `<dependency><groupId>${group}</groupId><artifactId>${name}</artifactId><version>${version}</version></dependency>`;
  });
  return `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>shoal</groupId><artifactId>services</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>${dependencies.join('')}</dependencies>
</project>
`;
}
