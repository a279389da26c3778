#include "trust/error.hpp"

#include "base/fault.hpp"

namespace titip::trust {

namespace {

class trust_category final : public boost::system::error_category {
public:
    const char* name() const noexcept override { return "titip.trust"; }

    std::string message(int value) const override
    {
        switch (static_cast<errc>(value)) {
        case errc::bad_certificate:
            return "not the certificate of a node (titip:station:NAME)";
        case errc::bad_key:
            return "the private key cannot be read: it has to be PEM, without a passphrase";
        case errc::other_key:
            return "the private key is not the one of the certificate";
        case errc::key_kind:
            return "the private key is no P-256 key";
        case errc::no_certificate:
            return "there is no certificate in the file (PEM)";
        case errc::bad_signature:
            return "the signature does not hold";
        case errc::foreign:
            return "the certificate was not issued by one of our authorities";
        case errc::expired:
            return "the certificate has expired";
        case errc::not_yet_valid:
            return "the certificate is not yet valid: check the clocks";
        case errc::wrong_role:
            return "the signer may not say this";
        case errc::bad_authorities:
            return "no certificate of an authority in the file, or something else in it";
        case errc::revoked:
            return "the certificate is revoked";
        }
        return "unknown error of trust";
    }

    boost::system::error_condition default_error_condition(int value) const noexcept override
    {
        switch (static_cast<errc>(value)) {
        case errc::foreign:
        case errc::wrong_role:
        case errc::revoked:
            return fault::auth;
        case errc::bad_certificate:
        case errc::bad_key:
        case errc::other_key:
        case errc::key_kind:
        case errc::no_certificate:
        case errc::bad_signature:
        case errc::expired:
        case errc::not_yet_valid:
        case errc::bad_authorities:
            break;
        }
        return {value, *this};
    }
};

} // namespace

boost::system::error_code make_error_code(errc value) noexcept
{
    static const trust_category category;
    return {static_cast<int>(value), category};
}

} // namespace titip::trust
