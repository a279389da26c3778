#pragma once

#include "base/bytes.hpp"
#include "base/digest.hpp"
#include "base/time.hpp"
#include "trust/authorities.hpp"

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct x509_st;
struct X509_crl_st;

namespace titip::trust {

/// By what a certificate is revoked here.
enum class revoked_by {
    crl,         ///< its authority's list of revoked certificates
    fingerprint, ///< an administrator's line
    name,        ///< the same, of the node: all of its keys, as long as the line is there
    kept,        ///< one of the first two said so once
};
std::string_view to_string(revoked_by) noexcept;

/// SHA-256 of a certificate as people write it: 64 hexadecimal digits, between two bytes ':' or not; what
/// stands before "=" is passed over. Nothing: it is none.
std::optional<digest> parse_fingerprint(std::string_view text);

/// What the files of [identity] revoked say. Immutable. Threads: from any thread.
///
/// A file may hold all of these, in any order; all else in it is not understood, and told:
///
///     -----BEGIN X509 CRL-----      signed by one of `issuers`; its dates do not count
///     kab-karimun-03                a node's name: whatever its role
///     relay:kab-karimun             a node's name in one role: station, relay, centre
///     AB:CD:...                     SHA-256 of a certificate, 64 hexadecimal digits, as
///                                   `openssl x509 -noout -fingerprint -sha256` prints it, with or without
///                                   what stands before "="
///     # from here on a comment
class revocation_list {
public:
    /// `not_understood`: what there is in the file beside these, each in a sentence with its line.
    void read(bytes_view file, const authorities& issuers,
              std::vector<std::string>& not_understood);

    /// Nothing: not revoked by it. What holds for longest is said first.
    std::optional<revoked_by> find(x509_st* certificate) const;

    const std::set<digest>& fingerprints() const noexcept { return fingerprints_; }
    std::size_t names() const noexcept { return names_.size(); }
    std::size_t revoked_in_crls() const noexcept { return in_crls_; }
    /// When the list that is due first wants to be replaced by a newer one; nothing: none says so.
    std::optional<wall_time> next_update() const noexcept { return next_update_; }

private:
    friend class revocations;
    /// `prints`: fingerprints_of() it, where that matters.
    std::optional<revoked_by> find(x509_st* certificate, const std::set<digest>& prints) const;
    bool read_line(std::string_view text);
    std::string read_crl(bytes_view der, const authorities& issuers);

    std::vector<std::shared_ptr<X509_crl_st>> crls_;
    std::set<digest> fingerprints_;
    std::set<std::pair<std::optional<role>, std::string>> names_;
    std::size_t in_crls_ = 0;
    std::optional<wall_time> next_update_;
};

/// SHA-256 of a certificate, and of its twins. An ECDSA signature (r, s) is as good with n - s in place of
/// s, and anybody can make the one of the other: the same certificate, with another fingerprint.
std::set<digest> fingerprints_of(x509_st* certificate);

/// Which certificates are shut out now: what the files say, and what they said once. A certificate that
/// was seen revoked by a list or a fingerprint stays so, whatever a later list says: it is kept in the
/// store. Threads: from any thread.
class revocations {
public:
    struct sighting {
        digest certificate{};
        revoked_by why{};
        std::string
            name; ///< what the certificate says: "station:NAME"; empty: an authority's, or none
    };

    /// `told`: of each certificate that is to be kept, at each look until keep() has it; on the thread
    /// that looks. Null: nobody keeps them.
    explicit revocations(std::function<void(const sighting&)> told = nullptr)
        : told_(std::move(told))
    {
    }

    /// SIGHUP.
    void replace(std::shared_ptr<const revocation_list> listed);
    void keep(const digest& certificate);
    void forget(const digest& certificate);

    std::optional<revoked_by> find(x509_st* certificate) const;
    /// Whether the files say so of this fingerprint, or of a certificate seen with it: forgetting would
    /// last no longer than until it is seen again.
    bool is_listed(const digest& certificate) const;
    std::shared_ptr<const revocation_list> listed() const;

private:
    std::set<digest> prints_of(x509_st* certificate) const;

    /// Peers that ask again and again; 200 bytes each.
    static constexpr std::size_t most_remembered = 2'048;

    mutable std::mutex mutex_;
    std::shared_ptr<const revocation_list> listed_ = std::make_shared<revocation_list>();
    std::set<digest> kept_;
    mutable std::set<digest> seen_listed_; ///< of kept_: the files say so as well, as was seen
    mutable std::map<digest, std::set<digest>> prints_; ///< which take 0.1 ms to make
    std::function<void(const sighting&)> told_;
};

} // namespace titip::trust
