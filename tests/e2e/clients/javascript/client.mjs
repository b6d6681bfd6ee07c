// sigstore-js: `node client.mjs sign|verify BLOB BUNDLE`. Trust comes from DAYFLY_FILES, or from DAYFLY_MIRROR with
// DAYFLY_ROOT and a cache in DAYFLY_CACHE; a signer's token from SIGSTORE_ID_TOKEN; whom to expect from IDENTITY, ISSUER.
import { readFileSync, writeFileSync } from "node:fs";
import { bundleFromJSON, bundleToJSON } from "@sigstore/bundle";
import { SigningConfig, TrustedRoot } from "@sigstore/protobuf-specs";
import { bundleBuilderFromSigningConfig } from "@sigstore/sign";
import { initTUF } from "@sigstore/tuf";
import { Verifier, toSignedEntity, toTrustMaterial } from "@sigstore/verify";
import { verify as verifyByMirror } from "sigstore";

const { DAYFLY_FILES, DAYFLY_MIRROR, DAYFLY_ROOT, DAYFLY_CACHE, SIGSTORE_ID_TOKEN, IDENTITY, ISSUER } = process.env;
const [command, blob, bundlePath] = process.argv.slice(2);
const data = readFileSync(blob);

async function document(name) {
  if (DAYFLY_FILES) return JSON.parse(readFileSync(`${DAYFLY_FILES}/${name}`));
  const tuf = await initTUF({ mirrorURL: DAYFLY_MIRROR, rootPath: DAYFLY_ROOT, cachePath: DAYFLY_CACHE });
  return JSON.parse(await tuf.getTarget(name));
}

async function sign() {
  const builder = bundleBuilderFromSigningConfig({
    signingConfig: SigningConfig.fromJSON(await document("signing_config.v0.2.json")),
    identityProvider: { getToken: async () => SIGSTORE_ID_TOKEN },
    bundleType: "messageSignature",
  });
  writeFileSync(bundlePath, JSON.stringify(bundleToJSON(await builder.create({ data }))));
}

async function verify() {
  const json = JSON.parse(readFileSync(bundlePath));
  const logged = json.verificationMaterial.tlogEntries?.length > 0;
  // Without a log's entry the time comes from timestamps alone, and one of them is asked for.
  const thresholds = logged ? {} : { tlogThreshold: 0, tsaThreshold: 1 };
  if (DAYFLY_MIRROR) {
    await verifyByMirror(json, data, {
      tufMirrorURL: DAYFLY_MIRROR,
      tufRootPath: DAYFLY_ROOT,
      tufCachePath: DAYFLY_CACHE,
      certificateIdentityEmail: IDENTITY,
      certificateIssuer: ISSUER,
      ...(logged ? {} : { tlogThreshold: 0, timestampThreshold: 1 }),
    });
    return;
  }
  const root = TrustedRoot.fromJSON(await document("trusted_root.json"));
  const policy = { subjectAlternativeName: IDENTITY, extensions: { issuer: ISSUER } };
  new Verifier(toTrustMaterial(root), thresholds).verify(toSignedEntity(bundleFromJSON(json), data), policy);
}

await { sign, verify }[command]();
