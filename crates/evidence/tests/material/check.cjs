// Verifies a bundle with Sigstore's own `@sigstore/verify`, and prints what was signed.
//
// Usage: check.cjs BUNDLE (--key PEM HINT | --root TRUSTED_ROOT)

const { readFileSync } = require('node:fs');
const { createPublicKey } = require('node:crypto');
const { bundleFromJSON } = require('@sigstore/bundle');
const { TrustedRoot } = require('@sigstore/protobuf-specs');
const { toSignedEntity, toTrustMaterial, Verifier } = require('@sigstore/verify');

const [file, how, trusted, hint] = process.argv.slice(2);
const bundle = bundleFromJSON(JSON.parse(readFileSync(file, 'utf8')));
const none = { tlogs: [], ctlogs: [], certificateAuthorities: [], timestampAuthorities: [] };
const root = how === '--root' ? TrustedRoot.fromJSON(JSON.parse(readFileSync(trusted, 'utf8'))) : none;
const material = toTrustMaterial(root, (found) => {
  if (found !== hint) throw new Error(`the hint is ${found}`);
  return { publicKey: createPublicKey(readFileSync(trusted)), validFor: () => true };
});
const options = how === '--root' ? {} : { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 };
new Verifier(material, options).verify(toSignedEntity(bundle));
process.stdout.write(bundle.content.dsseEnvelope.payload);
