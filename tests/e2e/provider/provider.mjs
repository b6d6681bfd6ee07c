// A certified OpenID provider with one public client, as a sigstore instance has it: `node provider.mjs PORT`.
// Who logs in is who the login page is told; the account's name is its e-mail address and its subject.
import { generateKeyPairSync, randomBytes } from "node:crypto";
import Provider from "oidc-provider";

const port = Number(process.argv[2]);
const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: "sigstore",
      application_type: "native", // loopback redirects on any port (RFC 8252 §7.3)
      token_endpoint_auth_method: "none",
      grant_types: ["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"],
      response_types: ["code"],
      redirect_uris: ["http://127.0.0.1/auth/callback", "http://localhost/auth/callback"],
      id_token_signed_response_alg: "RS256",
    },
  ],
  jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), alg: "RS256", use: "sig" }] },
  cookies: { keys: [randomBytes(32).toString("hex")] },
  pkce: { required: () => true },
  claims: { openid: ["sub"], email: ["email", "email_verified"] },
  conformIdTokenClaims: false, // the id token carries the e-mail address, as Dex's does
  findAccount: (_ctx, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: id, email_verified: !id.startsWith("unverified") }),
  }),
  features: { devInteractions: { enabled: true }, deviceFlow: { enabled: true } },
  ttl: { IdToken: 300, AccessToken: 300, AuthorizationCode: 60, DeviceCode: 60, Grant: 300, Interaction: 300, Session: 300 },
});

provider.listen(port, "127.0.0.1");
